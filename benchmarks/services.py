"""`python -m benchmarks.services`: connections and requests through a service's address, beside iptables and nftables
as kube-proxy writes them, with 1 to 10,000 services, in one run. Prints SERVICES.md's table; `--write` writes it.

Asked for is the service that was added last. Ringfence judges both ends by policy besides; the others translate alone.
"""

from __future__ import annotations

import argparse
import functools
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from benchmarks import scenario, service_steps, worlds
from benchmarks.compiled import traffic_program
from benchmarks.contenders import Drain, MissingError, enforced
from benchmarks.realpackets import request_rate
from benchmarks.worlds import World, made
from ringfence.abi import Delivery
from ringfence.datapath import features
from ringfence.datapath.bpffs import ensure_bpffs
from ringfence.engine.commands import Commit
from ringfence.engine.services import Services
from ringfence.policy.service_set import ServiceSet
from ringfence.policy.services import EndpointSlice, Service, ServicePort, SliceEndpoint

COUNTS: Final = (1, 100, 1_000, 10_000)
SERVER: Final = scenario.ADDRESSES[2][0]
PORT: Final = 80
_FIRST: Final = int(IPv4Address("10.96.0.1"))
MODES: Final = {"connect": "TCP connections", "tcp-rr": "TCP request-response"}
ROUNDS, SECONDS, STEP_ROUNDS = 7, 0.3, 60
Install = Callable[[World, int], AbstractContextManager[Drain]]


@dataclass(frozen=True, slots=True)
class Contender:
    """Who translates, among how many services; 0: nobody, the server is asked by its own address."""

    name: str
    short: str
    count: int
    install: Install


def address_of(number: int) -> str:
    """The address of a service, numbered from 0."""
    return str(IPv4Address(_FIRST + number))


@contextmanager
def _ringfence(world: World, count: int) -> Iterator[Drain]:
    with enforced(world, Delivery.PEER, _with_services(count)) as drain:
        yield drain


def _with_services(count: int) -> Commit:
    """The scenario's policy, and the services."""
    services = Services(ServiceSet())
    services.apply([each for number in range(count) for each in _service(number)])
    services.host_changed([], [])
    return replace(
        scenario.policy(), services={frontend: services.wanted(frontend) for frontend in services.take_changes()}
    )


def _service(number: int) -> tuple[Service, EndpointSlice]:
    name = f"s{number}"
    port = ServicePort(PORT, scenario.ECHO_PORT, "TCP", "http")
    backend = SliceEndpoint((ip_address(SERVER),))
    return (
        Service("default", name, (ip_address(address_of(number)),), (port,)),
        EndpointSlice("default", name, name, (backend,), (("http", "TCP", scenario.ECHO_PORT),)),
    )


@contextmanager
def _iptables(world: World, count: int) -> Iterator[Drain]:
    """A chain for all services, one for each of them, one for its endpoint."""
    chains, rules = [], ["-A PREROUTING -j KUBE-SERVICES"]
    for number in range(count):
        chains += [f":KUBE-SVC-{number} - [0:0]", f":KUBE-SEP-{number} - [0:0]"]
        rules += [
            f"-A KUBE-SERVICES -d {address_of(number)}/32 -p tcp -m tcp --dport {PORT} -j KUBE-SVC-{number}",
            f"-A KUBE-SVC-{number} -j KUBE-SEP-{number}",
            f"-A KUBE-SEP-{number} -p tcp -m tcp -j DNAT --to-destination {SERVER}:{scenario.ECHO_PORT}",
        ]
    text = "\n".join(["*nat", ":KUBE-SERVICES - [0:0]", *chains, *rules, "COMMIT", ""])
    _output(world, "iptables-legacy-restore", text=text)
    yield lambda: None


@contextmanager
def _nftables(world: World, count: int) -> Iterator[Drain]:
    """A map from address, protocol and port to a chain for each service."""
    target = f"{SERVER}:{scenario.ECHO_PORT}"
    chains = [f"chain svc-{number} {{ meta l4proto tcp dnat to {target}; }}" for number in range(count)]
    elements = ",\n".join(f"{address_of(number)} . tcp . {PORT} : goto svc-{number}" for number in range(count))
    text = "\n".join(
        [
            "table ip kube-proxy {",
            *chains,
            "map services { type ipv4_addr . inet_proto . inet_service : verdict;",
            f"elements = {{ {elements} }} }}",
            "chain prerouting { type nat hook prerouting priority dstnat;",
            "ip daddr . meta l4proto . th dport vmap @services; }",
            "}",
        ]
    )
    _output(world, "nft", "-f", "-", text=text)
    yield lambda: None


def _output(world: World, *command: str, text: str) -> None:
    try:
        world.output("node", *command, text=text)
    except (RuntimeError, FileNotFoundError) as error:
        raise MissingError(str(error)) from error


def _nobody(_world: World, _count: int) -> AbstractContextManager[Drain]:
    return nullcontext(lambda: None)


def contenders() -> list[Contender]:
    """All; the first is what the others are held against."""
    found = [Contender("no service, no policy", "direct", 0, _nobody)]
    kinds: tuple[tuple[str, str, Install], ...] = (
        ("Ringfence", "rf", _ringfence),
        ("iptables, DNAT by chains", "ipt", _iptables),
        ("nftables, DNAT by a map", "nft", _nftables),
    )
    for name, short, install in kinds:
        found += [Contender(name, f"{short}{count}", count, install) for count in COUNTS]
    return found


Samples = dict[tuple[str, str, int], list[float]]


def measure(rounds: int, seconds: float, say: Callable[[str], None]) -> Samples:
    """Ratios to nobody in the same round, by mode, contender and count. All worlds exist from the start."""
    samples: Samples = defaultdict(list)
    with ExitStack() as stack:
        entered = list(_enter(stack, say))
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for mode in MODES:
                rates: dict[tuple[str, int], float] = {}
                for contender, world, drain in entered[number % len(entered) :] + entered[: number % len(entered)]:
                    asked = (address_of(contender.count - 1), PORT) if contender.count else (SERVER, scenario.ECHO_PORT)
                    rates[contender.name, contender.count] = request_rate(world, mode, *asked, seconds)
                    drain()
                base = rates[entered[0][0].name, 0]
                for (name, count), rate in rates.items():
                    samples[mode, name, count].append(rate / base)
    return samples


def _enter(stack: ExitStack, say: Callable[[str], None]) -> Iterator[tuple[Contender, World, Drain]]:
    program = traffic_program(Path(stack.enter_context(TemporaryDirectory())))
    for contender in contenders():
        world = stack.enter_context(made(World(f"svc-{contender.short}", program)))
        began = monotonic()
        try:
            drain = stack.enter_context(contender.install(world, contender.count))
        except MissingError as error:
            say(f"left out: {contender.name}, {contender.count}: {error}")
            continue
        say(f"{contender.name}, {contender.count} services: there after {monotonic() - began:.2f} s")
        yield contender, world, drain


def table(samples: Samples) -> str:
    """Medians as a table of markdown, a row for each contender and mode."""
    lines = ["| | | 1 service | 100 | 1,000 | 10,000 |", "|---|---|---|---|---|---|"]
    for mode, told in MODES.items():
        names = dict.fromkeys(name for each, name, count in samples if each == mode and count)
        for name in names:
            cells = [_cell(samples.get((mode, name, count), [])) for count in COUNTS]
            lines.append(f"| {told} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(ratios: list[float]) -> str:
    return f"{median(ratios):.2f}" if ratios else "left out"


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.services", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, and few of the steps")
    parser.add_argument("--only", choices=("packets", "steps"), help="one of both tables")
    parser.add_argument("--write", action="store_true", help="write SERVICES.md beside this file")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    features.require()
    ensure_bpffs()
    worlds.remove_leftovers()
    began = monotonic()

    def say(told: str) -> None:
        print(f"{monotonic() - began:6.1f} s  {told}", file=sys.stderr)

    found = []
    if arguments.only != "packets":
        found.append(service_steps.table(service_steps.measure(10 if arguments.quick else STEP_ROUNDS, say)))
    if arguments.only != "steps":
        found.append(table(measure(1 if arguments.quick else ROUNDS, SECONDS, say)))
    print("\n\n".join(found))
    if arguments.write:
        place = Path(__file__).parent / "SERVICES.md"
        place.write_text(functools.reduce(_with_table, found, place.read_text("utf-8")), "utf-8")
    return 0


def _with_table(text: str, fresh: str) -> str:
    """A text with a table in the place of the one with the same heads of columns."""
    heads, rest = fresh.splitlines()[0], fresh.splitlines()[1:]
    before, _, after = text.partition(f"{heads}\n")
    _, _, behind = after.partition("\n\n")
    return "\n".join([f"{before}{heads}", *rest, *(["", behind] if behind else [""])])


if __name__ == "__main__":
    sys.exit(main())
