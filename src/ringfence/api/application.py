"""The ASGI application over the routes: a request in, JSON or a stream of lines out.

FastAPI only writes the contract (`contract.py`), when somebody asks for it: taking a request through it costs 0.3 ms of
the few that a change of policy has, and importing it a third of the agent's start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final, cast

from ringfence.api.routes import Routes
from ringfence.errors import BadInput, NotFound, RingfenceError, Unavailable

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_STATUS_OF: Final = {BadInput: 400, NotFound: 404, Unavailable: 503}
_CONTRACT: Final = frozenset({"/openapi.json", "/docs", "/redoc"})
_JSON: Final = b"application/json"
_SLICE: Final = 64  # elements: a fraction of a millisecond
_LINES: Final = b"application/x-ndjson"


class Api:
    """The application. `contract` makes the one that serves the documents about the API."""

    def __init__(self, routes: Routes, contract: Callable[[], Application]) -> None:
        self._routes = routes
        self._make_contract = contract
        self._contract: Application | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["path"] in _CONTRACT:
            if self._contract is None:
                # A second of importing and building: not in the loop.
                self._contract = await asyncio.to_thread(self._make_contract)
            await self._contract(scope, receive, send)
            return
        status, answer = await self._answer(scope, receive)
        if isinstance(answer, AsyncIterator):
            await _stream(answer, receive, send)
        else:
            await _send(send, status, answer)

    async def _answer(self, scope: Message, receive: Receive) -> tuple[int, Any]:
        try:
            route, places = self._routes.find(scope["method"], scope["path"])
            arguments = route.arguments(places, scope["query_string"], await _body(receive))
            answer = route.function(**arguments)
            return 200, await answer if isinstance(answer, Awaitable) else answer
        except RingfenceError as error:
            return refusal(error)


def refusal(error: RingfenceError) -> tuple[int, dict[str, Any]]:
    """The status and document of an error."""
    status = next((code for kind, code in _STATUS_OF.items() if isinstance(error, kind)), 409)
    problems = [dataclasses.asdict(problem) for problem in getattr(error, "problems", ())]
    return status, {"error": str(error), "problems": problems}


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body = cast("bytes", message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _send(send: Send, status: int, document: Any) -> None:
    body = await _encoded(document)
    headers = [(b"content-type", _JSON), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _encoded(document: Any) -> bytes:
    """A document as JSON, a long list in slices: a change of policy does not wait for the whole of a large answer."""
    if isinstance(document, list) and len(document) > _SLICE:
        slices = []
        for start in range(0, len(document), _SLICE):
            slices.append(_json(document[start : start + _SLICE])[1:-1])
            await asyncio.sleep(0)
        return b"[" + b",".join(slices) + b"]"
    if isinstance(document, dict) and any(isinstance(value, list) for value in document.values()):
        return b"{" + b",".join([_json(name) + b":" + await _encoded(document[name]) for name in document]) + b"}"
    return _json(document)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


async def _stream(lines: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Until the stream ends, or whoever reads it has gone."""
    tasks = [asyncio.ensure_future(work) for work in (_pump(lines, send), _until_gone(receive))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _pump(lines: AsyncIterator[bytes], send: Send) -> None:
    headers = [(b"content-type", _LINES)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for piece in lines:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
