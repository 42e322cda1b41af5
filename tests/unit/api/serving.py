"""A real API server over a unix socket, on a thread of the test, whose agent is whatever `Control` the test has."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from ringfence.api.control import Control
from ringfence.api.server import create_app


@contextmanager
def serving(control: Control, path: Path) -> Iterator[None]:
    """Serve for the length of a block; streams have to end by themselves before its end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        # It listens before the server runs, so the first request waits for it instead of failing.
        listening.bind(str(path))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(create_app(control), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()
            path.unlink(missing_ok=True)
