"""The connection to the agent: imported only by commands that need one, for its HTTP client is slow to import."""

from __future__ import annotations

import socket

from ringfence.api.client import Client, default_socket, nobody_answers
from ringfence.cli.session import DEFAULT_INSTANCE, Session
from ringfence.errors import Unavailable


def connect(session: Session, timeout_seconds: float = 30.0, why: str = "") -> Client:
    """Make a client for the agent that was named. Unavailable where none is running, or where it is not ours to ask."""
    path = session.socket or default_socket(session.instance or DEFAULT_INSTANCE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        try:
            attempt.connect(path)
        except PermissionError as error:
            raise Unavailable(f"the agent's socket {path} is open to its owner only; run this with sudo") from error
        except OSError as error:
            raise nobody_answers(path) from error
    return Client(path, timeout_seconds, why)
