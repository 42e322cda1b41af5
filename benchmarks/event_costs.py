"""What events cost a packet: by what the host wants told, and by whether two CPUs share a ring or have one each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Final

from benchmarks.offered import Source, source
from benchmarks.testruns import on_last_cpu
from ringfence.abi import Aggregation
from ringfence.datapath import rings as ring_maps

PER_RUN: Final = 10_000  # events of a run, fewer than a ring holds
_FORK: Final = multiprocessing.get_context("fork")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """A median of ns per packet beyond that of the empty program in the same run."""

    what: str
    nanoseconds: float
    against: str = "an empty program"


def aggregations(rounds: int, say: Say) -> Iterator[Cost]:
    """Packets of 65,536 established flows, with every packet told, connections told, and nothing told, in turn."""
    say("datapath: events of every packet, aggregated, off")
    samples: dict[Aggregation, list[int]] = {
        each: [] for each in (Aggregation.OFF, Aggregation.CONNECTIONS, Aggregation.PACKETS)
    }
    with on_last_cpu(), source() as offered:
        for _ in range(rounds):
            for aggregation, found in samples.items():
                offered.aggregate(aggregation)
                empty = offered.bench.run(offered.case.empty, offered.case, PER_RUN)
                found.append(offered.bench.run(offered.case.program, offered.case, PER_RUN) - empty)
                offered.bench.drain()
    for aggregation, found in samples.items():
        yield Cost(f"established packet among 64 k flows, events: {aggregation.name.lower()}", median(found))


def rings(rounds: int, say: Say) -> Iterator[Cost]:
    """Two CPUs that write an event for every packet at the same time: to one ring, and to a ring each."""
    if len(os.sched_getaffinity(0)) < 2:
        say("one CPU only: nothing to share")
        return
    say("datapath: two CPUs on one ring, and on a ring each")
    for what, shared in (("a ring each", False), ("one ring for both", True)):
        with source() as offered:
            if shared:
                _share(offered)
            found = [_side_by_side(offered) for _ in range(rounds)]
        yield Cost(f"event of every packet on two CPUs at once, {what}", median(found))


def _share(offered: Source) -> None:
    """Every CPU writes to the first ring."""
    outer = offered.loaded.maps[ring_maps.OUTER]
    for cpu in range(outer.max_entries):
        outer.update(cpu, offered.loaded.rings[0].fd)


def _side_by_side(offered: Source) -> float:
    """The mean of both CPUs' ns per packet, less the empty program's."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    ready = _FORK.Barrier(len(cpus))
    with _writers(offered, cpus, ready) as ends:
        times = [end.recv() for end in ends]
    offered.bench.drain()
    return float(sum(times)) / len(times)


@contextmanager
def _writers(offered: Source, cpus: list[int], ready: Barrier) -> Iterator[list[Connection]]:
    pipes = [_FORK.Pipe() for _ in cpus]
    processes = [
        _FORK.Process(target=_write, args=(offered, cpu, ready, pipe[1]), daemon=True)
        for cpu, pipe in zip(cpus, pipes, strict=True)
    ]
    for process in processes:
        process.start()
    yield [pipe[0] for pipe in pipes]
    for process in processes:
        process.join()


def _write(offered: Source, cpu: int, ready: Barrier, say: Connection) -> None:
    os.sched_setaffinity(0, {cpu})
    empty = offered.bench.run(offered.case.empty, offered.case, PER_RUN)
    ready.wait()
    say.send(offered.bench.run(offered.case.program, offered.case, PER_RUN) - empty)
