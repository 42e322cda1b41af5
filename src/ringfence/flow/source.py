"""Where flows come from: those that are past, kept in memory and perhaps in an archive, and those to come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from ringfence.errors import BadInput
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names
from ringfence.flow.query import FlowQuery

#: No request gets more past flows than these; one that bounds itself nowhere gets the newest of them.
MOST_FLOWS: Final = 1_000_000


class Archive(Protocol):
    """Flows that were stored, with the names of their time."""

    def batches(
        self, since_ns: int | None, until_ns: int | None, *, newest_first: bool
    ) -> Iterator[tuple[Events, Names]]:
        """Batches of the events with `since_ns <= time < until_ns`, in ns since the epoch, None without a bound.

        Each batch is oldest first in itself; the batches come oldest first, or newest first. What was handed to the
        archive before the call is among them, whether or not it is on a disk yet. It may be called from any thread.
        """


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the stream of events: how many came before it, and the latest time among them in ns."""

    position: int
    time_ns: int


def check_bounds(since_ns: int | None, until_ns: int | None, last: int | None, first: int | None) -> None:
    """Raises `BadInput` for bounds of a request that exclude each other or ask for too much."""
    if last is not None and first is not None:
        raise BadInput("first and last exclude each other")
    for name, number in (("last", last), ("first", first)):
        if number is not None and not 0 <= number <= MOST_FLOWS:
            raise BadInput(f"{name} {number}: from 0 to {MOST_FLOWS} flows can be asked for at once")
    if since_ns is not None and until_ns is not None and since_ns >= until_ns:
        raise BadInput("until is not later than since: nothing lies between them")


class FlowStream(Protocol):
    """Flows to come. `start` is where it begins: `past` with `before=start` tells all that it does not."""

    start: Mark
    lost: int

    def batches(self) -> AsyncIterator[Events | int]:
        """Batches as they come; a number stands for so many events lost in that place. Ends when the agent stops."""

    def close(self) -> None:
        """End it after what is queued."""


class FlowSource(Protocol):
    """What the API and Hubble's server ask. `names` are those of the stream."""

    names: Names

    def past(
        self,
        wanted: FlowQuery,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        last: int | None = None,
        first: int | None = None,
        before: Mark | None = None,
    ) -> list[tuple[Events, Names]]:
        """Past flows, oldest first, no batch empty: with `since_ns <= time < until_ns`, the `last` or the `first` so
        many of them, of those before a place in the stream. Without `last` and `first` the newest MOST_FLOWS.

        It waits for files: call it from a thread. Raises `BadInput` as `check_bounds` does.
        """

    def follow(self, wanted: FlowQuery) -> FlowStream:
        """A stream of every later flow; call it in the agent's loop, and read it there."""
