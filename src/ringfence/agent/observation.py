"""Answers to requests for flows: lines of JSON, what is past and then what comes, without a gap, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from time import time
from typing import Final

from ringfence.agent.hub import Form, event_lines, json_line, stream_lines
from ringfence.agent.past import Part
from ringfence.errors import Unavailable
from ringfence.flow.format import rfc3339
from ringfence.flow.hubble import flow_document
from ringfence.flow.request import FlowRequest
from ringfence.flow.source import MOST_FLOWS, FlowSource, FlowStream, Mark

#: What is found is held, 128 bytes a flow, until its caller has read it; of all callers together no more than this.
MOST_HELD: Final = 2 * MOST_FLOWS


def hubble_form(node: str) -> Form:
    """Flows as `hubble observe -o json` writes them."""

    def lost(number: int) -> object:
        # 64-bit numbers are texts in protobuf's JSON.
        told = {"source": "OBSERVER_EVENTS_QUEUE", "num_events_lost": str(number)}
        return {"lost_events": told, "node_name": node, "time": rfc3339(time())}

    return Form(lambda flow: flow_document(flow, node), lost)


class Observation:
    """Answers requests out of one source."""

    def __init__(self, source: FlowSource) -> None:
        self._source = source
        self._held = 0

    async def answer(self, request: FlowRequest, form: Form) -> AsyncIterator[bytes]:
        """Lines of JSON. What is refused is refused before this returns, and every later event is in the stream then.

        Raises `Unavailable` while others have not read what was found for them, and it is too much.
        """
        stream = self._source.follow(request.wanted) if request.follow else None
        parts = await self._past(request, stream.start if stream else None) if request.past else []
        found = sum(len(events) for events, _ in parts)
        return self._lines(parts, stream, form, cut=request.most is None and found >= MOST_FLOWS)

    async def _past(self, request: FlowRequest, before: Mark | None) -> list[Part]:
        most = MOST_FLOWS if request.most is None else request.most
        if self._held + most > MOST_HELD:
            raise Unavailable(f"{self._held} flows found for others are not read yet; try again, or ask for fewer")
        self._held += most
        try:
            past = partial(self._source.past, request.wanted, **request.bounds, before=before)
            return await asyncio.to_thread(past)
        finally:
            self._held -= most

    async def _lines(
        self, parts: list[Part], stream: FlowStream | None, form: Form, *, cut: bool
    ) -> AsyncIterator[bytes]:
        left = sum(len(events) for events, _ in parts)
        self._held += left
        try:
            if cut:
                yield json_line({"newest_only": MOST_FLOWS})
            while parts:
                events, names = parts.pop(0)
                async for piece in event_lines(events, names, form):
                    yield piece
                self._held -= len(events)
                left -= len(events)
        finally:
            self._held -= left
        if stream is not None:
            async for piece in stream_lines(stream, self._source.names, form):
                yield piece
