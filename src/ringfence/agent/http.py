"""The HTTP server: the API's application on a unix socket that only its owner may open, and the read-only one on a
loopback port if there is to be one. Both run in the agent's loop, each a server with an application of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ringfence.agent.owner import only_for_owner
from ringfence.api.control import Control
from ringfence.api.public import public_app
from ringfence.api.server import create_app

MOST_CONNECTIONS: Final = 64  # to the port; a browser opens six
_GRACE_SECONDS = 2
_PEER: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_IDLE_SECONDS = 300  # a caller that comes back finds its connection: making one takes as long as a change of policy


class _Server(uvicorn.Server):
    """Leaves the signals to the agent."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Known(HttpToolsProtocol):
    """A connection to the unix socket: the kernel knows whose it is."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take it, and note whose it is."""
        super().connection_made(transport)
        peer = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        pid, uid, _ = _PEER.unpack(peer)
        self.client = _user_name(uid), pid


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class ApiServer:
    """Listens from construction, so that whoever connects from now on is answered once `serve` runs."""

    def __init__(self, path: Path, control: Control) -> None:
        self._path = path
        self._socket = _listen(path)
        self._server = _server(create_app(control), _Known)

    async def serve(self) -> None:
        """Answer requests until `stop`; those under way are finished."""
        await self._server.serve([self._socket])
        self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Take no more requests."""
        self._server.should_exit = True


class _Bounded(HttpToolsProtocol):
    """A connection to the port, closed at once where there are many: whoever opens them without end takes no
    file descriptor that the agent needs for its socket.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take it, or not."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()


class PortServer:
    """An application on a TCP socket that listens already."""

    def __init__(self, listening: socket.socket, app: ASGIApp) -> None:
        self._socket = listening
        self._server = _server(app, _Bounded)

    async def serve(self) -> None:
        """Answer requests until `stop`."""
        await self._server.serve([self._socket])

    def stop(self) -> None:
        """Take no more requests."""
        self._server.should_exit = True


class WebServer(PortServer):
    """The page, read-only."""

    def __init__(self, listening: socket.socket, control: Control) -> None:
        super().__init__(listening, public_app(control))


def _server(app: ASGIApp, protocol: type[asyncio.Protocol]) -> _Server:
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=protocol,
        proxy_headers=False,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return _Server(config)


def _listen(path: Path) -> socket.socket:
    """A socket of mode 0600 from its first moment on. A stale one of an agent that was killed is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with only_for_owner():
        listening.bind(os.fspath(path))
    listening.listen(128)
    listening.settimeout(0)
    return listening
