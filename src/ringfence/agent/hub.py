"""The hub: one stream of events in, one bounded queue a subscriber out.

A subscriber that reads too slowly loses events of its own, counted and told; nobody else notices.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from weakref import WeakSet

from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names, flows
from ringfence.flow.filter import FlowFilter
from ringfence.flow.format import to_dict

QUEUE_EVENTS = 65536
# Looked at in one go, about 0.3 ms: a request gets its turn between two of them, and needs some four.
_CHUNK_EVENTS = 8


class Subscriber:
    """One reader's queue, of whole batches, bounded by the number of events in it."""

    def __init__(self, wanted: FlowFilter, limit: int = QUEUE_EVENTS) -> None:
        self.wanted = wanted
        self._limit = limit
        self._queue: deque[Events | int] = deque()  # batches, and between them how many were lost there
        self._held = 0
        self._ready = asyncio.Event()
        self._closed = False

    def offer(self, events: Events) -> None:
        """Take a batch, or as much of its beginning as there is room for."""
        room = min(self._limit - self._held, len(events))
        if room:
            self._queue.append(events[:room])
            self._held += room
        lost = len(events) - room
        if lost:
            last = self._queue[-1] if self._queue else None
            if isinstance(last, int):
                self._queue[-1] = last + lost
            else:
                self._queue.append(lost)
        if len(events):
            self._ready.set()

    def close(self) -> None:
        """Let the reader finish what is queued, then end."""
        self._closed = True
        self._ready.set()

    async def batches(self) -> AsyncIterator[Events | int]:
        """Batches of events as they come; a number stands for so many events lost in that place."""
        while not self._closed or self._queue:
            await self._ready.wait()
            self._ready.clear()
            while self._queue:
                batch = self._queue.popleft()
                self._held -= 0 if isinstance(batch, int) else len(batch)
                yield batch


class Hub:
    """All subscribers. They are held weakly: one whose reader went away is gone with it."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._subscribers: WeakSet[Subscriber] = WeakSet()
        self.clock_offset_ns = 0

    def publish(self, events: Events) -> None:
        """Hand a batch to every subscriber that wants any of it."""
        for subscriber in list(self._subscribers):
            subscriber.offer(subscriber.wanted.select(events, self._names))

    def subscribe(self, wanted: FlowFilter) -> Subscriber:
        """A new subscriber: it gets every batch published from now on."""
        subscriber = Subscriber(wanted)
        self._subscribers.add(subscriber)
        return subscriber

    def close(self) -> None:
        """End every stream."""
        for subscriber in list(self._subscribers):
            subscriber.close()

    async def lines(self, subscriber: Subscriber) -> AsyncIterator[bytes]:
        """A subscriber's events as lines of JSON, several a piece; losses are told in the place they happened."""
        async for events in subscriber.batches():
            if isinstance(events, int):
                yield _line({"lost": events})
                continue
            for start in range(0, len(events), _CHUNK_EVENTS):
                chunk = events[start : start + _CHUNK_EVENTS]
                yield b"".join(_line(to_dict(flow)) for flow in flows(chunk, self._names, self.clock_offset_ns))
                await asyncio.sleep(0)


def _line(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
