"""The TCP listener for scrapers that cannot open a unix socket. It serves /metrics and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from ringfence.agent.http import PortServer
from ringfence.errors import RingfenceError

Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]


class MetricsListener(PortServer):
    """Answers on a listening socket while `serve` runs."""

    def __init__(self, listening: socket.socket, scrape: Scrape) -> None:
        super().__init__(listening, self._app)
        self._scrape = scrape

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.url.path != "/metrics":
            return PlainTextResponse("only /metrics is served here\n", 404)
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("expected GET\n", 405, {"allow": "GET, HEAD"})
        try:
            text, content_type = await self._scrape(", ".join(request.headers.getlist("accept")))
        except RingfenceError as error:
            return PlainTextResponse(f"{error}\n", 503)
        return Response(text, headers={"content-type": content_type})
