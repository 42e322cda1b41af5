"""The past and the present of one agent: the newest events from memory, older ones from an archive if there is one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

import numpy as np

from ringfence.agent.hub import Hub, Subscriber
from ringfence.flow.decode import Events, joined, picked
from ringfence.flow.enrich import Names
from ringfence.flow.query import FlowQuery
from ringfence.flow.recent import Kept, Recent
from ringfence.flow.source import MOST_FLOWS, Archive, Mark, check_bounds

Part = tuple[Events, Names]
# Looked at in one go: who searches for a long time holds up the agent's loop for a fraction of a millisecond only.
_SLICE_EVENTS = 4096


class Past:
    """The `FlowSource` over a hub, fed by it from construction on."""

    def __init__(self, hub: Hub, recent: Recent, archive: Archive | None = None) -> None:
        self.names = hub.names
        self._hub = hub
        self.recent = recent
        self._archive = archive
        hub.feed(recent.append)

    def follow(self, wanted: FlowQuery) -> Subscriber:
        """A stream of every later flow, which knows where it starts."""
        subscriber = self._hub.subscribe(wanted)
        subscriber.start = self.recent.mark
        return subscriber

    def past(
        self,
        wanted: FlowQuery,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        last: int | None = None,
        first: int | None = None,
        before: Mark | None = None,
    ) -> list[Part]:
        """Past flows, oldest first; from any thread. See `FlowSource`."""
        check_bounds(since_ns, until_ns, last, first)
        newest_first = first is None
        number = first if first is not None else MOST_FLOWS if last is None else last
        found: list[Part] = []
        with closing(self._batches(since_ns, until_ns, before, newest_first=newest_first)) as batches:
            for events, names in _slices(batches, newest_first=newest_first) if number else ():
                selected = wanted.select(events, names)
                taken = selected[-number:] if newest_first else selected[:number]
                if len(taken):
                    # A few rows do not keep all others of their batch in memory.
                    found.append((joined([taken]) if 2 * len(taken) < len(events) else taken, names))
                number -= len(taken)
                if not number:
                    break
        return found[::-1] if newest_first else found

    def _batches(
        self, since_ns: int | None, until_ns: int | None, before: Mark | None, *, newest_first: bool
    ) -> Generator[Part]:
        """All events of a time, each once: those that memory has certainly all of from there, the rest archived."""
        kept = self.recent.copy(before)
        recent = self._of_memory(kept, since_ns, until_ns), self.names
        if newest_first:
            yield recent
        if self._archive is not None:
            seam = None if kept.seam_ns is None else kept.seam_ns + 1
            until = min((each for each in (until_ns, seam) if each is not None), default=None)
            if since_ns is None or until is None or since_ns < until:
                yield from self._archive.batches(since_ns, until, newest_first=newest_first)
        if not newest_first:
            yield recent

    def _of_memory(self, kept: Kept, since_ns: int | None, until_ns: int | None) -> Events:
        events = kept.events
        times, mask = events["time"], np.ones(len(events), bool)
        if since_ns is not None:
            mask &= times >= since_ns
        if until_ns is not None:
            mask &= times < until_ns
        if self._archive is not None and kept.seam_ns is not None:
            mask &= times > kept.seam_ns
        return events if mask.all() else picked(events, mask)


def _slices(batches: Iterable[Part], *, newest_first: bool) -> Iterator[Part]:
    for events, names in batches:
        starts = range(0, len(events), _SLICE_EVENTS)
        for start in starts[::-1] if newest_first else starts:
            yield events[start : start + _SLICE_EVENTS], names
