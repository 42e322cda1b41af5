"""The read-only application for a loopback port: the page and what it reads, and not one route that changes anything.

A unix socket knows who may open it; a port does not: every user of the host can connect, and so can every page in their
browsers. Therefore the routes that change something are not there at all, a name that somebody else made to lead here
(DNS rebinding) is refused, no answer may be read by another page, and the number of requests is bounded.
"""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence.api.control import Control
from ringfence.api.server import create_app, tell_errors
from ringfence.api.web import PAGE_HEADERS, PAGE_PATHS, STREAM

READABLE: Final = ("/v1/status", "/v1/endpoints", "/v1/policies", "/v1/policies/{uid:path}", "/v1/rules", STREAM)
MOST_REQUESTS: Final = 32  # at once; a page that is open holds one, and a few for a moment
_HOSTS: Final = {"localhost", "127.0.0.1", "[::1]"}
_METHODS: Final = {"GET", "HEAD"}


class Guard:
    """Lets through what comes from a page of this host and only reads; adds the page's headers to every answer."""

    def __init__(self, app: ASGIApp, most_requests: int = MOST_REQUESTS) -> None:
        self._app = app
        self._left = most_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if refusal := self._refusal(scope):
            await refusal(scope, receive, send)
            return
        self._left -= 1
        try:
            await self._app(scope, receive, _with_headers(send))
        finally:
            self._left += 1

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if not _named_as_loopback(scope):
            return _refused(421, "this port answers to localhost, 127.0.0.1 and [::1] only")
        if scope["method"] not in _METHODS:
            return _refused(405, "this port is read-only; change things by the agent's socket")
        if self._left <= 0:
            return _refused(503, "too many pages are open; close one")
        return None


def public_app(control: Control) -> ASGIApp:
    """The application over one agent: of its whole API the routes that the page reads."""
    app = bare_app()
    wanted = {*PAGE_PATHS, *READABLE}
    whole = create_app(control)
    app.router.routes.extend(route for route in whole.routes if _reads(route) and _path(route) in wanted)
    return Guard(app)


def bare_app() -> FastAPI:
    """An application without routes that tells errors as the API does, and without FastAPI's documentation pages, which
    load scripts from elsewhere.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    tell_errors(app)
    return app


def _reads(route: object) -> bool:
    return isinstance(route, APIRoute) and not (route.methods or set()) - _METHODS


def _path(route: object) -> str:
    return route.path if isinstance(route, APIRoute) else ""


def _named_as_loopback(scope: Scope) -> bool:
    """Whether the one Host header names this host's loopback, on whatever port: it may be forwarded by ssh."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(found) != 1:
        return False
    host, colon, port = found[0].rpartition(":")
    named = host if colon and port.isdecimal() else found[0]
    return named.lower() in _HOSTS


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message, "problems": []}, status, PAGE_HEADERS)


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message["headers"]}
            added = [(name.lower().encode(), value.encode()) for name, value in PAGE_HEADERS.items()]
            message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in given)]
        await send(message)

    return sent
