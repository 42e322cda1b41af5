"""Nanoseconds per packet of each step of a service and of source translation, by BPF_PROG_TEST_RUN: IPv4 and TCP, each
step and its empty counterpart in turn, over and over, on one CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from statistics import median
from typing import Final

from benchmarks.compiled import empty_program, served_object
from benchmarks.scenario import ADDRESSES, ECHO_PORT, OUTSIDE
from benchmarks.testruns import (
    ACK,
    DROP,
    FLOWS,
    LOOPBACK,
    PASS,
    PER_RUN,
    SYN,
    Bench,
    Case,
    Order,
    frame,
    on_last_cpu,
)
from ringfence.abi import BackendState
from ringfence.datapath.commit import Committer
from ringfence.datapath.features import jiffies_per_second
from ringfence.datapath.loader import LoadedObject, load
from ringfence.datapath.snat import SnatTable
from ringfence.engine.commands import Commit
from ringfence.service.row import Backend, Frontend, ServiceRow
from ringfence.traffic import Protocol

VIRTUAL, NODE = "10.96.0.10", "198.51.100.1"
PORT, NODE_PORT, CLIENT_PORT, UNKNOWN = 80, 30080, 40000, 81
HEAD: Final = 54  # as in served.bpf.c
CLIENT, SERVER = 1, 2


@dataclass(frozen=True, slots=True)
class Step(Case):
    """A packet at a hook. `opening`: packets by program and frame that have to go before; `fresh`: nothing is known of
    it before a run; `here`: whose interface the hook is at.
    """

    opening: tuple[tuple[str, bytes], ...] = ()
    fresh: bool = False
    here: int = CLIENT


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds per packet that a program adds to the empty one: the median of all rounds, and the least."""

    name: str
    middle: float
    least: float


def steps() -> tuple[Step, ...]:
    """All steps, in the order of the table."""
    client, server = ADDRESSES[CLIENT][0], ADDRESSES[SERVER][0]
    direct = _tcp(client, server, ECHO_PORT, ACK)
    asking = _tcp(client, VIRTUAL, PORT, ACK)
    opened = ("wrapped_from_endpoint", _tcp(client, VIRTUAL, PORT, SYN))
    outside = ("wrapped_from_uplink", _tcp(OUTSIDE, NODE, NODE_PORT, SYN))
    leaving, left = "wrapped_to_uplink", "wrapped_from_uplink"
    world = _tcp(client, OUTSIDE, 443, ACK)
    return (
        Step("established, no service", direct, opening=(("wrapped_from_endpoint", direct),)),
        Step("established, through a service", asking, opening=(opened,)),
        Step("established, through a service, 64 k flows", asking, vary=True),
        Step("its answer", _tcp(server, client, CLIENT_PORT, ACK, ECHO_PORT), opening=(opened,), here=SERVER),
        Step("new, no service, with event", _tcp(client, server, ECHO_PORT, SYN), vary=True, events=True, fresh=True),
        Step("new, through a service, with event", opened[1], vary=True, events=True, fresh=True),
        Step("no such port of the service, with event", _tcp(client, VIRTUAL, UNKNOWN, SYN), DROP, events=True),
        Step("node port, new, with event", outside[1], program=left, vary=True, events=True, fresh=True),
        Step("node port, established", _tcp(OUTSIDE, NODE, NODE_PORT, ACK), program=left, opening=(outside,)),
        Step(
            "its answer, where it leaves",
            _tcp(client, OUTSIDE, CLIENT_PORT, ACK, ECHO_PORT),
            PASS,
            leaving,
            opening=(outside,),
        ),
        Step("source translation, new", world, PASS, leaving, vary=True, fresh=True),
        Step("source translation, established", world, PASS, leaving, opening=((leaving, world),)),
        Step(
            "its answer, where it comes in",
            _tcp(OUTSIDE, NODE, CLIENT_PORT, ACK, 443),
            PASS,
            left,
            opening=((leaving, world),),
        ),
    )


def _tcp(source: str, destination: str, port: int, flags: int, source_port: int = CLIENT_PORT) -> bytes:
    made = bytearray(frame(source, destination, Protocol.TCP, port, flags))
    made[34:36] = source_port.to_bytes(2, "big")
    return bytes(made)


def _leading_to(row: int) -> ServiceRow:
    backend = Backend(ip_address(ADDRESSES[row][0]), ECHO_PORT)
    return ServiceRow(f"default/to-{row}", f"to-{row}", ((backend, BackendState.ACTIVE),), (0,))


class StepBench(Bench):
    """The scenario with a service, a node port, and an uplink at the same interface."""

    def __init__(self, loaded: LoadedObject, empty: int) -> None:
        super().__init__(loaded, empty)
        services = {
            Frontend(ip_address(VIRTUAL), PORT, Protocol.TCP): _leading_to(SERVER),
            # Whom the scenario's policy lets the world reach.
            Frontend(ip_address(NODE), NODE_PORT, Protocol.TCP): _leading_to(CLIENT),
            Frontend(ip_address(VIRTUAL), 0, 0): ServiceRow("default/web", "other ports", no_port=True),
        }
        Committer(loaded.maps).commit(Commit(services=services))
        SnatTable(loaded.maps).set_uplink(LOOPBACK, [ip_address(NODE)])

    def with_note(self, frame: bytes, note: bytes) -> bytes:
        """As served.bpf.c has it: the headers once more."""
        return super().with_note(frame, note) + frame[:HEAD] + bytes(2)

    def prepare(self, step: Step) -> None:
        """What a step's connections need to be established."""
        for program, opening in step.opening:
            self.run(program, Step(step.name, opening))
        if step.vary and not step.fresh:
            self.run(step.program, step, FLOWS, Order.ASCENDING)
        self.drain()
        self.place(step.here)

    def cost(self, step: Step) -> float:
        """Nanoseconds per packet of one run, without those of the empty program right before."""
        if step.fresh:
            self.forget()
        empty, full = (self.run(program, step) for program in ("wrapped_empty", step.program))
        self.drain(PER_RUN if step.events else 0)
        return full - empty

    def forget(self) -> None:
        """Empty conntrack and the table of translations."""
        super().forget()
        SnatTable(self.loaded.maps).forget(lambda _flow: True)


def measure(rounds: int, say: Callable[[str], None]) -> list[Cost]:
    """Run all steps in turn, so many rounds. The calling thread stays on one CPU meanwhile."""
    samples: dict[str, list[float]] = {step.name: [] for step in steps()}
    with on_last_cpu(), _benches() as find:
        for number in range(rounds):
            for step in steps():
                samples[step.name].append(find(step).cost(step))
            if number % 10 == 0:
                say(f"steps: round {number + 1} of {rounds}")
    return [Cost(name, median(found), min(found)) for name, found in samples.items()]


@contextmanager
def _benches() -> Iterator[Callable[[Step], StepBench]]:
    """An object for each step's own connections, where they last; one for all that begin anew in every run."""
    with ExitStack() as stack:
        code, knobs = served_object(), {"jiffies_per_second": jiffies_per_second()}
        empty = stack.enter_context(empty_program())

        def made() -> StepBench:
            return StepBench(stack.enter_context(load(knobs, {}, code)), empty)

        fresh = made()
        found = {step.name: fresh if step.fresh else made() for step in steps()}
        for step in steps():
            found[step.name].prepare(step)
        yield lambda step: found[step.name]


def table(costs: list[Cost]) -> str:
    """As markdown, a row for each step."""
    lines = ["| step | ns per packet | least |", "|---|---|---|"]
    lines += [f"| {each.name} | {each.middle:.0f} | {each.least:.0f} |" for each in costs]
    return "\n".join(lines)
