"""The connection to the agent: imported only by commands that need one, for its HTTP client is slow to import."""

from __future__ import annotations

from ringfence.api.client import Client, default_socket
from ringfence.cli.session import DEFAULT_INSTANCE, Session


def connect(session: Session) -> Client:
    """Make a client for the agent that was named; nothing is sent yet, so no error yet where none is running."""
    return Client(session.socket or default_socket(session.instance or DEFAULT_INSTANCE))
