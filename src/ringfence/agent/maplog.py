"""The map log: every change that the agent made to policy, ipcache, endpoints and services, when, and what led to it.

A commit is kept as it is and put into words when somebody asks: with nobody asking it costs the loop next to nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, Final
from weakref import WeakSet

from ringfence.abi import Delivery
from ringfence.agent.because import event_texts
from ringfence.agent.wording import delivery_text, key_text, peer_text, rule_text, wire_text
from ringfence.api.inspected import ElementChanged, MapChange
from ringfence.engine.commands import ClearEndpoint, Command, Commit, WriteEndpoint
from ringfence.engine.events import Event
from ringfence.engine.known import Known
from ringfence.errors import NotFound
from ringfence.flow.format import rfc3339
from ringfence.service.text import frontend_text, row_text

#: The maps whose changes are kept. Of `ipcache` both maps of addresses, whole ones and prefixes.
LOGGED: Final = ("policy", "ipcache", "endpoints", "services")
_KEPT_CHANGES: Final = 65536
_QUEUED: Final = 1024  # batches that a reader may be behind
_SLICE: Final = 32  # changes put into words in one go

BY_HAND: Final = "by hand, past the agent: ringfence bpf map"


@dataclass(frozen=True, slots=True)
class Delivered:
    """How packets are delivered to the endpoint in a row was found to be another way, and why."""

    row: int
    delivery: Delivery
    reason: str


Change = Command | Delivered | ElementChanged


@dataclass(frozen=True, slots=True)
class Batch:
    """What was done at once."""

    time: float
    revision: int
    because: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def size(self) -> int:
        """How many elements it is about, about."""
        return sum(
            len(each.policy) + len(each.peers) + len(each.services) if isinstance(each, Commit) else 1
            for each in self.changes
        )


class Reader:
    """Somebody who follows; what it is behind by too much it loses, and is told how many batches."""

    def __init__(self) -> None:
        self.queue: deque[Batch] = deque(maxlen=_QUEUED)
        self.lost = 0
        self.closed = False
        self.ready = asyncio.Event()

    def offer(self, batch: Batch) -> None:
        """Take a batch; the oldest goes when there is no room."""
        self.lost += len(self.queue) == _QUEUED
        self.queue.append(batch)
        self.ready.set()


class MapLog:
    """What was changed lately, and who follows it."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._kept = 0
        self._readers: WeakSet[Reader] = WeakSet()
        self._closed = False

    def note(self, changes: Sequence[Change], revision: int, because: Sequence[Event | str]) -> None:
        """These were made. In the loop: it neither waits nor raises."""
        told = tuple(each for each in changes if not isinstance(each, Commit) or each)
        batch = Batch(time(), revision, tuple(event_texts(because)), told)
        if not batch.size:
            return
        self._batches.append(batch)
        self._kept += batch.size
        while self._kept > _KEPT_CHANGES and len(self._batches) > 1:
            self._kept -= self._batches.popleft().size
        for reader in list(self._readers):
            reader.offer(batch)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for reader in list(self._readers):
            reader.closed = True
            reader.ready.set()

    def changes(self, name: str, known: Known, *, follow: bool) -> AsyncIterator[MapChange | dict[str, int]]:
        """The changes of a map that are kept, oldest first, and with `follow` every later one, registered before this
        returns. Raises `NotFound` for a map that none are kept of.
        """
        if name not in LOGGED:
            raise NotFound(f"no changes are kept of map {name!r}; they are of: {', '.join(LOGGED)}")
        past, reader = list(self._batches), Reader()
        if follow and not self._closed:
            self._readers.add(reader)
        return self._told(name, known, past, reader if follow else None)

    async def _told(
        self, name: str, known: Known, past: list[Batch], reader: Reader | None
    ) -> AsyncIterator[MapChange | dict[str, int]]:
        for batch in past:
            async for change in _in_turns(batch, name, known):
                yield change
        while reader and (reader.queue or not (reader.closed or self._closed)):
            await reader.ready.wait()
            reader.ready.clear()
            if reader.lost:
                yield {"lost": reader.lost}
                reader.lost = 0
            while reader.queue:
                async for change in _in_turns(reader.queue.popleft(), name, known):
                    yield change


async def _in_turns(batch: Batch, name: str, known: Known) -> AsyncIterator[MapChange]:
    for number, change in enumerate(in_words(batch, name, known), 1):
        yield change
        if number % _SLICE == 0:
            await asyncio.sleep(0)


def in_words(batch: Batch, name: str, known: Known) -> Iterator[MapChange]:
    """The changes of a batch to one map."""
    when = rfc3339(batch.time)
    for change in batch.changes:
        for key, value, further in _elements(change, name, known):
            yield {
                "time": when,
                "map": name,
                "action": "delete" if value is None else "set",
                "key": key,
                "value": value,
                "revision": batch.revision,
                "because": [*batch.because, *further],
            }


_Told = tuple[str, str | None, list[str]]


def _elements(change: Change, name: str, known: Known) -> Iterator[_Told]:
    """Key, value (None: deleted) and what more led to it."""
    if isinstance(change, dict):
        if change["map"] == name or (change["map"], name) == ("ipcache_exact", "ipcache"):
            yield _plain(change["key"]), None if change["after"] is None else _plain(change["after"]), []
    elif isinstance(change, Commit):
        yield from _committed(change, name, known)
    elif name == "endpoints":
        yield from _row(change, known)


def _committed(commit: Commit, name: str, known: Known) -> Iterator[_Told]:
    if name == "policy":
        for key, number in commit.policy.items():
            yield key_text(key, known), (rule_text(number, known) if number else None), []
    elif name == "services":
        for frontend, row in commit.services.items():
            yield frontend_text(frontend), None if row is None else row_text(row), []
    elif name == "ipcache":
        for network, peer in commit.peers.items():
            yield str(network), None if peer is None else peer_text(peer, known), []


def _row(change: Change, known: Known) -> Iterator[_Told]:
    if isinstance(change, Delivered):
        yield _row_text(change.row, known), f"delivered by {delivery_text(change.delivery)}", [change.reason]
    elif isinstance(change, WriteEndpoint):
        wire = wire_text(change.id, change.ifindex, change.mac, change.host_mac) if change.ifindex else "not reachable"
        yield _row_text(change.row, known), wire, []
    elif isinstance(change, ClearEndpoint):
        yield _row_text(change.row, known), None, []


def _row_text(row: int, known: Known) -> str:
    name = known.endpoint_of(row)
    return f"{row} ({name})" if name else str(row)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_plain(inner)}" for name, inner in value.items())
    return str(value)
