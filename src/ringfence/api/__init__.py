"""The agent's API: HTTP over a unix socket. `shapes` are the documents, `server` the routes, `client` the caller."""
