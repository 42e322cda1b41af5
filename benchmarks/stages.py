"""The stages that an event passes, each as somebody who reads the rings: a plain C consumer, our reader alone, with the
hub and the newest flows in memory, with a dashboard's digests, and with the recorder behind it.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Final

from benchmarks.offered import Source
from ringfence.agent.hub import Hub
from ringfence.agent.reader import Reader
from ringfence.datapath.rings import EventRings
from ringfence.flow.query import FlowQuery
from ringfence.flow.recent import Recent
from ringfence.history.limits import Limits
from ringfence.history.recorder import Recorder
from ringfence.verdict import RuleText

_CLOSE_SECONDS: Final = 30.0
HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Passed:
    """What came through a stage. `seconds` is how long events were written; `cpu` what the reader's process used."""

    events: int
    lost: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class Scenario:
    """The names of the scenario's numbers."""

    def labels_of(self, identity: int) -> tuple[str, ...]:
        return (f"k8s:app=app-{identity}", "k8s:io.kubernetes.pod.namespace=shop")

    def rule_of(self, number: int) -> RuleText | None:  # noqa: ARG002 - the commit's rules have no text
        return None

    def endpoint_of(self, row: int) -> str | None:
        return f"shop/app-{row}"

    def service_of(self, row: int) -> str | None:
        return f"shop/service-{row}"


def ring_only(offered: Source, rate: int, seconds: float) -> Passed:
    """Our reader, and nobody behind it."""
    return _in_loop(offered, rate, seconds, lambda _hub: None)


def memory(offered: Source, rate: int, seconds: float) -> Passed:
    """With the newest flows kept in memory."""

    def wire(hub: Hub) -> None:
        hub.feed(Recent().append)

    return _in_loop(offered, rate, seconds, wire)


def digests(offered: Source, rate: int, seconds: float) -> Passed:
    """With what a dashboard is told every quarter of a second."""

    async def follow(hub: Hub) -> None:
        async for _ in hub.digests(hub.subscribe(FlowQuery(), 1 << 20), 0.25, dict):
            pass

    return _in_loop(offered, rate, seconds, lambda _hub: None, follow)


def store(offered: Source, rate: int, seconds: float) -> Passed:
    """With the newest flows in memory and the recorder: as an agent has it."""
    with TemporaryDirectory(dir=HERE) as directory:
        recorder = Recorder(Path(directory), Scenario(), Limits(), lambda *_, **__: None)

        def wire(hub: Hub) -> None:
            hub.feed(Recent().append)
            hub.feed(recorder.offer)

        passed = _in_loop(offered, rate, seconds, wire, after=lambda: recorder.close(_CLOSE_SECONDS))
        return Passed(passed.events - recorder.lost, passed.lost + recorder.lost, passed.seconds, passed.cpu)


@contextmanager
def c_consumer() -> Iterator[Callable[[Source, int, float], Passed]]:
    """The consumer in C, compiled for as long as the block lasts. Raises RuntimeError with what the compiler said."""
    with TemporaryDirectory() as directory:
        program = Path(directory) / "consumer"
        command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", str(HERE / "consumer.c"), "-o", str(program), "-lbpf"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"consumer.c does not compile:\n{done.stderr}")
        yield lambda offered, rate, seconds: _consumed(program, offered, rate, seconds)


def _consumed(program: Path, offered: Source, rate: int, seconds: float) -> Passed:
    _, before = offered.tally
    numbers = [str(ring.info.id) for ring in offered.loaded.rings]
    with subprocess.Popen([program, *numbers], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as consumer:
        assert consumer.stdin
        assert consumer.stdout
        consumer.stdout.readline()
        _, took = offered.offer(rate, seconds).finish()
        consumer.stdin.close()
        events = int(consumer.stdout.readline().split()[0])
    return Passed(events, offered.tally[1] - before, took, 0.0)


def _in_loop(
    offered: Source,
    rate: int,
    seconds: float,
    wire: Callable[[Hub], None],
    follow: Callable[[Hub], Awaitable[None]] | None = None,
    after: Callable[[], None] = lambda: None,
) -> Passed:
    async def run() -> tuple[int, float]:
        hub = Hub(Scenario())
        seen = [0]
        hub.feed(lambda events: seen.__setitem__(0, seen[0] + len(events)))
        wire(hub)
        with EventRings(offered.loaded.rings) as rings:
            following = asyncio.ensure_future(follow(hub)) if follow else None
            reader = Reader(rings, hub, Hub(hub.names))
            _, took = await asyncio.to_thread(offered.offer(rate, seconds).finish)
            reader.close()
            hub.close()
            if following:
                await following
        return seen[0], took

    _, before = offered.tally
    used = process_time()
    events, took = asyncio.run(run())
    after()
    return Passed(events, offered.tally[1] - before, took, process_time() - used)
