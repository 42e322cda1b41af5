"""The command line: what people type. A command asks the agent over its socket, or needs none where it can."""
