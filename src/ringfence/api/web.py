"""The web page's side of the server: its files, and the digests as server-sent events.

The files are plain HTML, CSS and ES modules beside this one. The policy that each is sent with lets a browser load from
here alone and run no text as a script, so that nothing a workload calls itself can do more than be shown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Annotated, Final

from fastapi import FastAPI, Query
from fastapi.responses import Response, StreamingResponse

from ringfence.api import flow_shapes
from ringfence.api.control import Control
from ringfence.errors import NotFound
from ringfence.flow.query import FlowQuery

STREAM: Final = "/v1/digests/stream"
PAGE_PATHS: Final = ("/", "/page/{name}")
PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_MEDIA: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_QUIET_SECONDS = 10.0  # without a word for longer, a browser cannot tell a quiet agent from one that hangs
Terms = Annotated[list[str] | None, Query()]
_Interval = Annotated[float, Query(ge=0.25, le=10, description="seconds between two digests")]


def add_page(app: FastAPI) -> None:
    """Serve the page at `/` and its files below `/page/`."""

    @app.get(PAGE_PATHS[0], include_in_schema=False)
    async def index() -> Response:
        return _file("index.html")

    @app.get(PAGE_PATHS[1], include_in_schema=False)
    async def file(name: str) -> Response:
        return _file(name)


def add_stream(app: FastAPI, control: Control) -> None:
    """Serve digests as server-sent events."""

    @app.get(STREAM, response_class=StreamingResponse)
    async def stream(allow: Terms = None, deny: Terms = None, seconds: _Interval = 1.0) -> StreamingResponse:
        found = control.digests(FlowQuery.parse(allow or [], deny or []), seconds)
        return StreamingResponse(
            sent_events(found), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )


async def sent_events(
    documents: AsyncIterator[flow_shapes.DigestShape], quiet_seconds: float = _QUIET_SECONDS
) -> AsyncIterator[str]:
    """Digests as server-sent events. A comment opens the stream, and others show that it lives while it is quiet."""
    yield ": digests\n\n"
    waiting = asyncio.ensure_future(anext(documents, None))
    try:
        while True:
            await asyncio.wait({waiting}, timeout=quiet_seconds)
            if not waiting.done():
                yield ": quiet\n\n"
                continue
            document = waiting.result()
            if document is None:
                return
            yield f"data: {json.dumps(document, separators=(',', ':'))}\n\n"
            waiting = asyncio.ensure_future(anext(documents, None))
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """The page's files: content and media type by name."""
    found = resources.files("ringfence.api") / "page"
    return {each.name: (each.read_bytes(), _MEDIA["." + each.name.rpartition(".")[2]]) for each in found.iterdir()}


def _file(name: str) -> Response:
    """One file of the page, no other file of the host: names are looked up, never joined to a path."""
    if name not in _files():
        raise NotFound(f"the page has no file {name!r}")
    content, media = _files()[name]
    return Response(content, media_type=media, headers=PAGE_HEADERS)
