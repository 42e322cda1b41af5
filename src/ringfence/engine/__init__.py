"""The engine: from what happened to what the kernel should be told. Pure and synchronous: events in, commands out."""
