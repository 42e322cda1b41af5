"""Real packets between two workloads: every measurement by every contender in turn, round after round, and each figure
as a ratio to no policy in the same round.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final, TypeVar

from benchmarks.compiled import traffic_program
from benchmarks.contenders import Drain, MissingError, contenders
from benchmarks.scenario import ADDRESSES, ECHO_PORT, IPERF_PORT, SINK_PORT
from benchmarks.worlds import PATH_CPU, World, made

CLIENT, SERVER = ADDRESSES[1][0], ADDRESSES[2][0]
FLOWS: Final = 65_536  # as many as a port has numbers
LOST_SHARE: Final = 0.001
SINK_BUFFER: Final = 1_000  # datagrams that a sink may keep before it counts them as refused
PATIENCE_SECONDS: Final = 1.0


Item = TypeVar("Item")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: rounds, seconds for a figure, datagrams one way."""

    rounds: int
    seconds: float
    datagrams: int  # at most so many one way, in at most those seconds


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: its name, its unit and how it is taken in a world."""

    name: str
    unit: str
    take: Callable[[World, Effort], float]


@dataclass(frozen=True, slots=True)
class Standing:
    """A contender's figure and its ratio to no policy (or its difference), medians over the rounds."""

    contender: str
    figure: float
    ratio: float
    difference: float
    spread: float  # of the ratio, between the quartiles

    def __str__(self) -> str:
        return f"{self.ratio:.2f} ± {self.spread:.2f}"


def _client(world: World, *arguments: str) -> list[float]:
    printed = world.output("client", str(world.program), str(PATH_CPU), *arguments)
    return [float(word) for word in printed.split()]


def request_rate(world: World, mode: str, address: str, port: int, seconds: float) -> float:
    """Requests, or connections, a second to an address."""
    return _client(world, mode, address, str(port), str(seconds))[0]


def send_cost(world: World, source: str, destination: str, most: int, seconds: float) -> float:
    """Nanoseconds from one datagram of one flow to the next, at the sender, wherever they end."""
    return _client(world, "flood", source, destination, str(SINK_PORT), "1", str(most), str(seconds))[0]


def _requests(mode: str) -> Callable[[World, Effort], float]:
    return lambda world, effort: request_rate(world, mode, SERVER, ECHO_PORT, effort.seconds)


def _throughput(world: World, _effort: Effort) -> float:
    """Gbit/s of one TCP stream for a second; client and server on a CPU each."""
    command = ("iperf3", "-c", SERVER, "-p", str(IPERF_PORT), "-t", "1", "-J", "-A", str(PATH_CPU))
    report = json.loads(world.output("client", *command))
    return float(report["end"]["sum_received"]["bits_per_second"]) / 1e9


def _one_flow(world: World, effort: Effort) -> float:
    return _flood(world, 1, effort.datagrams, effort.seconds)


def _many_flows(world: World, effort: Effort) -> float:
    """As established flows: whoever remembers connections has met each of them before."""
    if world.remembers:
        _flood(world, FLOWS, FLOWS, 0)
    return _flood(world, FLOWS, effort.datagrams, effort.seconds)


def _flood(world: World, flows: int, most: int, seconds: float) -> float:
    """Nanoseconds from one datagram to the next. Raises RuntimeError when not all of them arrived."""
    before = _arrived(world)
    nanoseconds, sent = _client(world, "flood", CLIENT, SERVER, str(SINK_PORT), str(flows), str(most), str(seconds))
    expected = before + sent * (1 - LOST_SHARE) - SINK_BUFFER
    end = monotonic() + PATIENCE_SECONDS
    # The kernel may have left the last few to a thread of its own.
    while (arrived := _arrived(world)) < expected:
        if monotonic() > end:
            raise RuntimeError(f"{world.name}: of {sent:.0f} datagrams {arrived - before} arrived")
    return nanoseconds


def _arrived(world: World) -> int:
    """Datagrams that came to the server's sockets, kept or not: the sink's buffer is full."""
    text = world.run("server", lambda: Path("/proc/thread-self/net/snmp").read_text())
    names, values = (line.split()[1:] for line in re.findall(r"^Udp: .*", text, re.MULTILINE))
    counts: dict[str, int] = dict(zip(names, map(int, values), strict=True))
    return counts["InDatagrams"] + counts["RcvbufErrors"]


MEASUREMENTS: Final = (
    Measurement("TCP request-response", "per s", _requests("tcp-rr")),
    Measurement("UDP request-response", "per s", _requests("udp-rr")),
    Measurement("TCP connections", "per s", _requests("connect")),
    Measurement("TCP throughput", "Gbit/s", _throughput),
    Measurement("UDP one way, one flow", "ns", _one_flow),
    Measurement("UDP one way, 64 k flows", "ns", _many_flows),
)


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, list[Standing]]:
    """Measurement -> contenders in order. All worlds exist from the start; only one has traffic at a time."""
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        entered = _enter(stack, say)
        for number in range(effort.rounds):
            say(f"real packets: round {number + 1} of {effort.rounds}")
            for measurement in MEASUREMENTS:
                for contender, (world, drain) in _turned(list(entered.items()), number):
                    samples[measurement.name, contender].append(measurement.take(world, effort))
                    drain()
    names = list(entered)
    return {each.name: [_standing(name, names[0], each.name, samples) for name in names] for each in MEASUREMENTS}


def _enter(stack: ExitStack, say: Callable[[str], None]) -> dict[str, tuple[World, Drain]]:
    """Make a world for each contender and put it there; one that this kernel does not have is left out and said."""
    program = traffic_program(Path(stack.enter_context(TemporaryDirectory())))
    entered: dict[str, tuple[World, Drain]] = {}
    for contender in contenders():
        world = stack.enter_context(made(World(contender.short, program, remembers=contender.remembers)))
        try:
            drain = stack.enter_context(contender.install(world))
        except MissingError as error:
            say(f"left out: {contender.name}: {error}")
            continue
        entered[contender.name] = world, drain
    return entered


def _turned(items: list[Item], by: int) -> list[Item]:
    """Another one begins each round: whoever comes after a slow one may find other caches and clocks."""
    start = by % len(items)
    return items[start:] + items[:start]


def _standing(name: str, baseline: str, measurement: str, samples: Mapping[tuple[str, str], list[float]]) -> Standing:
    own, theirs = samples[measurement, name], samples[measurement, baseline]
    pairs = list(zip(own, theirs, strict=True))
    ratios = sorted(one / other for one, other in pairs)
    spread = ratios[len(ratios) * 3 // 4] - ratios[len(ratios) // 4]
    return Standing(name, median(own), median(ratios), median(one - other for one, other in pairs), spread)
