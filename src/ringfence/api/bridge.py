"""A bridge: the page on a loopback port, everything it reads fetched over an agent's unix socket.

For an agent that serves no port, or whose loopback is another namespace's. It forwards the routes that the page reads
and no others; nothing that comes in by the port becomes a part of a path but in quotes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from urllib.parse import quote

import httpx
import uvicorn
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.types import ASGIApp

from ringfence.api.client import nobody_answers
from ringfence.api.public import READABLE, Guard, bare_app
from ringfence.api.web import add_page

_TIMES = httpx.Timeout(30.0, read=None)  # a stream may be quiet; the page notices by itself when it lasts
_GRACE_SECONDS = 1

_Forward = Callable[[Request], Coroutine[Any, Any, StreamingResponse]]


def run(agent_socket: str, listening: socket.socket) -> None:
    """Forward until SIGINT or SIGTERM."""
    asyncio.run(_serve(agent_socket, listening))


async def _serve(agent_socket: str, listening: socket.socket) -> None:
    transport = httpx.AsyncHTTPTransport(uds=agent_socket, verify=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://ringfence", timeout=_TIMES) as client:
        app = bridge_app(client, agent_socket)
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        await uvicorn.Server(config).serve([listening])


def bridge_app(client: httpx.AsyncClient, agent_socket: str) -> ASGIApp:
    """The application that forwards to an agent."""
    app = bare_app()
    add_page(app)
    for path in READABLE:
        app.add_api_route(path, _forward(client, path, agent_socket), methods=["GET"], response_model=None)
    return Guard(app)


def _forward(client: httpx.AsyncClient, path: str, agent_socket: str) -> _Forward:
    fixed = path.partition("{")[0]

    async def forward(request: Request) -> StreamingResponse:
        # A uid is one quoted segment here: `..` in it leads nowhere.
        target = fixed + "".join(quote(value, safe="") for value in request.path_params.values())
        asked = client.build_request("GET", target, params=httpx.QueryParams(request.url.query))
        try:
            answer = await client.send(asked, stream=True)
        except httpx.TransportError as error:
            raise nobody_answers(agent_socket) from error
        media = answer.headers.get("content-type")
        return StreamingResponse(
            _pieces(answer), answer.status_code, media_type=media, background=BackgroundTask(answer.aclose)
        )

    return forward


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes. An agent that ends in the middle of it ends it: the page asks again."""
    try:
        async for piece in answer.aiter_raw():
            yield piece
    except httpx.TransportError:
        return
    finally:
        await answer.aclose()
