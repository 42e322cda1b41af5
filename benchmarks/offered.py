"""Offered load: events at a rate, written by the real datapath that a process of its own runs packet by packet.

Every packet of an established flow writes an event, among 1,024 flows, since it is the reader that is measured and not
the caches of the writer; the process keeps to its rate by the clock, a
millisecond's worth at a time, and says how many it made.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic, sleep
from typing import Final

from benchmarks.compiled import empty_program, measured_object
from benchmarks.testruns import Bench, Case, Order, cases
from ringfence.abi import Aggregation
from ringfence.datapath.features import jiffies_per_second
from ringfence.datapath.loader import LoadedObject, load

_STEP_SECONDS: Final = 0.001
_FORK: Final = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Source:
    """A loaded object whose packets all write events, and the packets."""

    bench: Bench
    case: Case

    @property
    def loaded(self) -> LoadedObject:
        return self.bench.loaded

    def aggregate(self, aggregation: Aggregation) -> None:
        """Say which packets write an event."""
        self.loaded.maps[".data.events"].mmap_array()["event_aggregation"][0] = aggregation

    @property
    def tally(self) -> tuple[int, int]:
        """Events written and lost since the object was loaded."""
        row = self.loaded.maps["event_tally"].lookup(0)
        return int(row["written"]), int(row["lost"])

    def offer(self, rate: int, seconds: float) -> Offer:
        """Begin to write so many events a second in another process."""
        mine, theirs = _FORK.Pipe()
        process = _FORK.Process(target=_write, args=(self, rate, seconds, theirs), daemon=True)
        process.start()
        return Offer(process, mine)


@dataclass(frozen=True, slots=True)
class Offer:
    """A load under way."""

    process: multiprocessing.process.BaseProcess
    said: Connection

    def finish(self) -> tuple[int, float]:
        """Wait for its end; packets it ran and seconds it took."""
        made, seconds = self.said.recv()
        self.process.join()
        return int(made), float(seconds)


@contextmanager
def source(sizes: dict[str, int] | None = None) -> Iterator[Source]:
    """The object with all flows opened, ready to write."""
    with ExitStack() as stack:
        empty = stack.enter_context(empty_program())
        loaded = stack.enter_context(load({"jiffies_per_second": jiffies_per_second()}, sizes or {}, measured_object()))
        case = next(each for each in cases() if each.vary and not each.events)
        bench = Bench(loaded, empty)
        bench.open_flows(case)
        found = Source(bench, case)
        found.aggregate(Aggregation.PACKETS)
        yield found


def _write(offered: Source, rate: int, seconds: float, say: Connection) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    begun, made = monotonic(), 0
    while (now := monotonic() - begun) < seconds:
        due = int(now * rate) - made
        if due > 0:
            offered.bench.run(offered.case.program, offered.case, due, Order.FEW)
            made += due
        sleep(max(0.0, _STEP_SECONDS - (monotonic() - begun - now)))
    say.send((made, monotonic() - begun))
