"""`python -m benchmarks.dashboard`: the dashboard beside an agent that publishes a hundred thousand events a second.

The agent is that of the tests, over a dry kernel, in a process of its own; the dashboard draws 80 by 24 without a
terminal. Measured are digests drawn a second, what drawing one takes, and how long a key waits until its effect is on
the screen. Ends with one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep, thread_time
from typing import Final

import numpy as np
from textual.pilot import Pilot

from ringfence.abi import Verdict
from ringfence.flow.decode import Events
from ringfence.tui.app import Options, Top
from ringfence.tui.news import Digested, News
from tests.unit.api.running import running
from tests.unit.flow.batch import DENIED, event

EVENTS_PER_SECOND: Final = 100_000
SECONDS: Final = 8.0
INTERVAL: Final = 0.25
BATCHES_PER_SECOND: Final = 40
PORTS: Final = 400  # as many flows, more than a digest tells
SIZE: Final = (80, 24)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the dashboard did. Drawing is milliseconds of the processor, which neighbours do not change as much; a key
    milliseconds of the clock. `lost` are events that its stream lost.
    """

    events_per_second: float
    digests_per_second: float
    draw_median: float
    draw_worst_of_20: float
    key_median: float
    key_worst: float
    lost: int


class Timed(Top):
    """A dashboard that notes what it takes in and how long drawing it takes."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.digests = self.events = self.lost = 0
        self.drawings: list[float] = []

    def take(self, news: News) -> None:
        """Take news in, draw, and have the screen composed, as it goes to the terminal."""
        start = thread_time()
        super().take(news)
        if isinstance(news, Digested) and self.screen_stack:
            self.screen._compositor.render_strips()  # noqa: SLF001 - textual has no other way to the screen's lines
            self.drawings.append((thread_time() - start) * 1000)
            self.digests += 1
            self.events += news.digest["events"]
            self.lost += news.digest["lost"]


def measure(seconds: float = SECONDS, events_per_second: int = EVENTS_PER_SECOND) -> Drawn:
    """Watch for some seconds, with a key pressed again and again."""
    with TemporaryDirectory() as directory, _published(Path(directory), events_per_second) as socket:
        return asyncio.run(_watch(socket, seconds))


async def _watch(socket: str, seconds: float) -> Drawn:
    top, waits = Timed(Options(socket, INTERVAL)), list[float]()
    async with top.run_test(size=SIZE) as pilot:
        while top.digests < 4:  # the first meet code that has never run
            await pilot.pause(0.05)
        top.drawings.clear()
        began, digests, events = monotonic(), top.digests, top.events
        while monotonic() < began + seconds:
            waits.append(await _press(top, pilot))
        took = monotonic() - began
        return Drawn(
            events_per_second=round((top.events - events) / took),
            digests_per_second=round((top.digests - digests) / took, 2),
            draw_median=round(median(top.drawings), 2),
            draw_worst_of_20=round(quantiles(top.drawings, n=20)[-1], 2),
            key_median=round(median(waits), 2),
            key_worst=round(max(waits), 2),
            lost=top.lost,
        )


async def _press(top: Timed, pilot: Pilot[None]) -> float:
    """Press S, which changes the order; milliseconds until the screen says so."""
    before = _told(top)
    start = perf_counter()
    await pilot.press("s")
    while _told(top) == before:
        await pilot.pause(0.001)
    took = (perf_counter() - start) * 1000
    await pilot.pause(0.1)
    return took


def _told(top: Timed) -> str:
    """The order, in the line over the flows."""
    line = top.screen._compositor.render_strips()[4].text  # noqa: SLF001 - as above
    return line.partition("verdicts/s; ")[2].partition(" first")[0]


@contextmanager
def _published(directory: Path, events_per_second: int) -> Iterator[str]:
    """An agent with that many events, in a process of its own; its socket."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_publish, args=(directory, events_per_second, theirs))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        process.join()


def _publish(directory: Path, events_per_second: int, told: Connection) -> None:
    batch = _batch(events_per_second // BATCHES_PER_SECOND)
    with running(directory) as agent:
        told.send(str(agent.socket))
        due = monotonic()
        while not told.poll():
            agent.publish(batch)
            due += 1 / BATCHES_PER_SECOND
            sleep(max(0.0, due - monotonic()))


def _batch(size: int) -> Events:
    """Events of many flows, every third denied."""
    events = np.repeat(event(packets=(1, 0), bytes=(60, 0)), size)
    numbers = np.arange(size)
    events["destination_port"] = 1 + numbers % PORTS
    denied = numbers % 3 == 0
    for name, value in DENIED.items():
        events[name][denied] = value
    events["verdict"][~denied] = Verdict.ALLOW
    return events


def main() -> None:
    """Measure and tell."""
    print(json.dumps(asdict(measure())))


if __name__ == "__main__":
    main()
