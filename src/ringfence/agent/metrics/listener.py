"""The TCP listener for scrapers that cannot open a unix socket. It serves /metrics and nothing else."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn

from ringfence.errors import RingfenceError

Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_PLAIN = "text/plain; charset=utf-8"
_AT_ONCE = 64  # connections; a scraper needs one
_GRACE_SECONDS = 2


class _Server(uvicorn.Server):
    """Leaves the signals to the agent."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class MetricsListener:
    """Answers on a listening socket while `serve` runs."""

    def __init__(self, listening: socket.socket, scrape: Scrape) -> None:
        self._scrape = scrape
        self._socket = listening
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            proxy_headers=False,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=_AT_ONCE,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Server(config)

    async def serve(self) -> None:
        """Answer requests until `stop`."""
        await self._server.serve([self._socket])

    def stop(self) -> None:
        """Take no more requests."""
        self._server.should_exit = True

    async def _answer(self, scope: dict[str, Any], _receive: object, send: Send) -> None:
        if scope["path"] != "/metrics":
            await _respond(send, 404, b"only /metrics is served here\n", _PLAIN)
        elif scope["method"] not in {"GET", "HEAD"}:
            await _respond(send, 405, b"expected GET\n", _PLAIN, (b"allow", b"GET, HEAD"))
        else:
            accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
            try:
                text, content_type = await self._scrape(accept.decode("latin-1"))
            except RingfenceError as error:
                await _respond(send, 503, f"{error}\n".encode(), _PLAIN)
            else:
                await _respond(send, 200, text, content_type)


async def _respond(send: Send, status: int, body: bytes, content_type: str, *more: tuple[bytes, bytes]) -> None:
    lengths = (b"content-length", str(len(body)).encode())
    headers = [(b"content-type", content_type.encode()), lengths, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
