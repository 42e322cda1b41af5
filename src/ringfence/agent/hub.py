"""The hub: one stream of events in, one bounded queue a subscriber out.

A subscriber that reads too slowly loses events of its own, counted and told; nobody else notices. Streams are made of
what their subscriber got: every event as a line of JSON, or a digest an interval.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, Protocol
from weakref import WeakSet

from ringfence.flow.decode import Events
from ringfence.flow.digest import digest
from ringfence.flow.enrich import Names, flows
from ringfence.flow.flow import Flow
from ringfence.flow.format import digest_fields, rfc3339, to_dict
from ringfence.flow.source import FlowStream, Mark

QUEUE_EVENTS = 65536
# Looked at in one go, about 0.3 ms: a request gets its turn between two of them, and needs some four.
_CHUNK_EVENTS = 8


class Wanted(Protocol):
    """Which events a subscriber wants: a filter or a query."""

    def select(self, events: Events, names: Names) -> Events:
        """Those of a batch, in order."""


class Subscriber:
    """One reader's queue, of whole batches, bounded by the number of events in it."""

    def __init__(self, wanted: Wanted, limit: int = QUEUE_EVENTS) -> None:
        self.wanted = wanted
        self.lost = 0
        self.start = Mark(0, 0)  # set by who knows what is past at that moment
        self._limit = limit
        self._queue: deque[Events | int] = deque()  # batches, and between them how many were lost there
        self._held = 0
        self._ready = asyncio.Event()
        self._over = asyncio.Event()

    def offer(self, events: Events) -> int:
        """Take a batch, or as much of its beginning as there is room for; how many were lost."""
        room = min(self._limit - self._held, len(events))
        if room:
            self._queue.append(events[:room])
            self._held += room
        lost = len(events) - room
        if lost:
            self.lost += lost
            last = self._queue[-1] if self._queue else None
            if isinstance(last, int):
                self._queue[-1] = last + lost
            else:
                self._queue.append(lost)
        if len(events):
            self._ready.set()
        return lost

    def close(self) -> None:
        """Let the reader finish what is queued, then end."""
        self._over.set()
        self._ready.set()

    @property
    def closed(self) -> bool:
        """Whether the stream is to end once what is queued is read."""
        return self._over.is_set()

    def take(self) -> list[Events | int]:
        """Everything that is queued; a number stands for so many events lost in that place."""
        taken = list(self._queue)
        self._queue.clear()
        self._held = 0
        return taken

    async def batches(self) -> AsyncIterator[Events | int]:
        """Batches of events as they come; a number stands for so many events lost in that place."""
        while not self.closed or self._queue:
            await self._ready.wait()
            self._ready.clear()
            while self._queue:
                batch = self._queue.popleft()
                self._held -= 0 if isinstance(batch, int) else len(batch)
                yield batch

    async def wait_closed(self, seconds: float) -> None:
        """Wait some seconds, or until the stream is to end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


class Hub:
    """All subscribers. They are held weakly: one whose reader went away is gone with it.

    `lost` are events that any subscriber lost, since the agent started.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.lost = 0
        self._subscribers: WeakSet[Subscriber] = WeakSet()
        self._sinks: list[Callable[[Events], None]] = []

    def publish(self, events: Events) -> None:
        """Hand a batch to every sink, and to every subscriber that wants any of it."""
        for sink in self._sinks:
            sink(events)
        for subscriber in list(self._subscribers):
            self.lost += subscriber.offer(subscriber.wanted.select(events, self.names))

    def feed(self, sink: Callable[[Events], None]) -> None:
        """Hand every batch from now on to a sink too: it must not wait, and must not change the batch."""
        self._sinks.append(sink)

    def subscribe(self, wanted: Wanted, limit: int = QUEUE_EVENTS) -> Subscriber:
        """A new subscriber: it gets every batch published from now on."""
        subscriber = Subscriber(wanted, limit)
        self._subscribers.add(subscriber)
        return subscriber

    @property
    def subscribers(self) -> int:
        """How many there are."""
        return len(self._subscribers)

    def close(self) -> None:
        """End every stream."""
        for subscriber in list(self._subscribers):
            subscriber.close()

    def lines(self, subscriber: Subscriber) -> AsyncIterator[bytes]:
        """A subscriber's events as lines of JSON, several a piece; losses are told in the place they happened."""
        return stream_lines(subscriber, self.names, Form())

    async def digests(
        self, subscriber: Subscriber, seconds: float, about: Callable[[], dict[str, Any]]
    ) -> AsyncIterator[dict[str, Any]]:
        """A digest of the subscriber's events every so many seconds, with what `about` says of that moment."""
        before = monotonic()
        while not subscriber.closed:
            await subscriber.wait_closed(seconds)
            taken, now = subscriber.take(), monotonic()
            batches = [each for each in taken if not isinstance(each, int)]
            found = await asyncio.to_thread(digest, batches, self.names)
            lost = sum(each for each in taken if isinstance(each, int))
            told = {"time": rfc3339(time()), "seconds": round(now - before, 6), "lost": lost}
            before = now
            yield told | digest_fields(found) | about()


@dataclass(frozen=True, slots=True)
class Form:
    """How a stream writes a flow, and how many it has lost."""

    flow: Callable[[Flow], object] = to_dict
    lost: Callable[[int], object] = lambda number: {"lost": number}


async def stream_lines(stream: FlowStream, names: Names, form: Form) -> AsyncIterator[bytes]:
    """A stream's events as lines of JSON, several a piece."""
    async for events in stream.batches():
        if isinstance(events, int):
            yield json_line(form.lost(events))
            continue
        async for piece in event_lines(events, names, form):
            yield piece


async def event_lines(events: Events, names: Names, form: Form) -> AsyncIterator[bytes]:
    """Events as lines of JSON, several a piece, everybody else having a turn between two of them."""
    for start in range(0, len(events), _CHUNK_EVENTS):
        chunk = events[start : start + _CHUNK_EVENTS]
        yield b"".join(json_line(form.flow(flow)) for flow in flows(chunk, names))
        await asyncio.sleep(0)


def json_line(document: object) -> bytes:
    """A document as a line of JSON."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
