"""Nanoseconds per packet by BPF_PROG_TEST_RUN: each case and its empty counterpart in turn, over and over, on one CPU.

What a case claims is checked: the program's answer, and that it wrote an event for every packet or for none.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from statistics import median
from typing import Final

from benchmarks import scenario
from benchmarks.compiled import empty_program, measured_object
from benchmarks.scenario import ADDRESSES, DENIED_PORT, ECHO_PORT, GUARDED_PORT, OUTSIDE
from ringfence.abi import Delivery
from ringfence.datapath.commit import Committer
from ringfence.datapath.endpoints import EndpointTable
from ringfence.datapath.features import jiffies_per_second
from ringfence.datapath.loader import LoadedObject, load
from ringfence.datapath.rings import EventRings
from ringfence.datapath.syscall import prog_test_run
from ringfence.engine.commands import WriteEndpoint
from ringfence.traffic import Protocol

PER_RUN: Final = 20_000
FLOWS: Final = 65_536
FULL_TABLE: Final = 16_384
LOOPBACK, ELSEWHERE = 1, 1000
PASS, DROP, REDIRECT = 0xFFFFFFFF, 2, 7
SYN, ACK = 0x02, 0x10
_NOTE_OFFSET: Final = 80


class Order(IntEnum):
    """As in measured.bpf.c: which source port each repetition has."""

    ONE_PORT = 0
    MIXED = 1
    ASCENDING = 2
    FEW = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A program, a packet and what must come of it. `vary`: another source port each time."""

    name: str
    frame: bytes
    expected: int = REDIRECT
    program: str = "wrapped_from_endpoint"
    vary: bool = False
    events: bool = False
    full: bool = False  # conntrack is full, each new connection evicts another; else it is emptied before each run

    @property
    def empty(self) -> str:
        """The program that does the same around nothing."""
        return "wrapped_empty" if self.program.startswith("wrapped") else "empty"


@dataclass(frozen=True, slots=True)
class Timing:
    """Nanoseconds per packet, medians: of the bare empty program, and what the case's program adds to its own."""

    name: str
    empty: float
    added: float
    spread: float  # between the quartiles of `added`

    @property
    def ratio(self) -> float:
        """The program over the empty one."""
        return (self.empty + self.added) / self.empty


def frame(source: str, destination: str, protocol: Protocol, port: int, flags: int = 0) -> bytes:
    """A frame with the note of measured.bpf.c behind its headers; checksums that nobody looks at are 0."""
    ends = ip_address(source).packed + ip_address(destination).packed
    if protocol is Protocol.TCP:
        payload = struct.pack("!HHIIBBHHH", 40000, port, 0, 0, 5 << 4, flags, 0, 0, 0)
    else:
        payload = struct.pack("!HHHH", 40000, port, 8, 0)
    if len(ends) == 8:
        header = b"\x08\x00" + struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + ends
    else:
        header = b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends
    return (bytes(12) + header + payload).ljust(_NOTE_OFFSET, b"\0") + bytes(12)


def cases() -> tuple[Case, ...]:
    """All cases, in the order of the table."""
    (a4, a6), (b4, b6), (c4, _) = (ADDRESSES[row] for row in (1, 2, 3))
    tcp, udp = Protocol.TCP, Protocol.UDP
    segment, segment6 = frame(a4, b4, tcp, ECHO_PORT, ACK), frame(a6, b6, tcp, ECHO_PORT, ACK)
    opening = frame(a4, b4, tcp, ECHO_PORT, SYN)
    return (
        Case("established, hot, IPv4 TCP", segment),
        Case("established, hot, IPv4 UDP", frame(a4, b4, udp, ECHO_PORT)),
        Case("established, hot, IPv6 TCP", segment6),
        Case("established, hot, left to the stack", frame(a4, c4, tcp, ECHO_PORT, ACK), PASS, "from_endpoint"),
        Case("established, hot, from outside", frame(OUTSIDE, a4, tcp, ECHO_PORT, ACK), PASS, "to_endpoint"),
        Case("established, 64 k flows, IPv4 TCP", segment, vary=True),
        Case("established, 64 k flows, IPv6 TCP", segment6, vary=True),
        Case("new, with event", opening, vary=True, events=True),
        Case("new, with event, evicting another", opening, vary=True, events=True, full=True),
        Case("denied at egress, with event", frame(a4, b4, tcp, DENIED_PORT, SYN), DROP, events=True),
        Case("denied at ingress, with event", frame(a4, b4, tcp, GUARDED_PORT, SYN), DROP, events=True),
    )


class Bench:
    """A loaded object in the scenario. The client's interface is the loopback, which is what a test run says."""

    def __init__(self, loaded: LoadedObject, empty: int) -> None:
        self.loaded = loaded
        self._programs = {**loaded.programs, "empty": empty}
        self._ring = EventRings(loaded.rings)
        self._position = 0
        self.place(1)
        Committer(loaded.maps).commit(scenario.policy())
        # What a denial costs is what one costs that is told.
        loaded.maps[".data.events"].mmap_array()["denials_per_second"][0] = 0

    def run(self, program: str, case: Case, repeat: int = PER_RUN, order: Order = Order.MIXED) -> int:
        """Nanoseconds per packet of one run. Raises ValueError when a packet came to something else."""
        note = struct.pack("<IIHH", self._position, order if case.vary else Order.ONE_PORT, 0, 0)
        done = prog_test_run(self._programs[program], self.with_note(case.frame, note), b"", repeat)
        if program == case.program:
            if done.retval != case.expected:
                raise ValueError(f"{case.name}: the program returned {done.retval}, expected {case.expected}")
            self._position += repeat
        return done.duration_ns

    def place(self, here: int) -> None:
        """Have the workload of this row at the loopback, and the others elsewhere."""
        table = EndpointTable(self.loaded.maps)
        for row in ADDRESSES:
            mac, ifindex = bytes([2, 0, 0, 0, 1, row]), LOOPBACK if row == here else ELSEWHERE + row
            delivery = Delivery.STACK if row == 3 else Delivery.PEER
            table.write(WriteEndpoint(row, row, ifindex, mac, bytes([2, 0, 0, 0, 2, row])), delivery)

    def with_note(self, frame: bytes, note: bytes) -> bytes:
        """The frame with what lasts from one repetition to the next behind its headers."""
        return frame[:_NOTE_OFFSET] + note

    def open_flows(self, case: Case) -> None:
        """Have the case's connections remembered; nothing is left to judge."""
        if not case.events:
            self.run(case.program, case, FLOWS if case.vary else 1, Order.ASCENDING)
            self.drain()

    def measure(self, case: Case) -> tuple[int, int, int]:
        """One run of the bare empty program, of the case's empty counterpart and of its own program, right after it."""
        if case.events and not case.full:
            self.forget()
        bare, empty, full = (self.run(program, case) for program in ("empty", case.empty, case.program))
        self.drain(PER_RUN if case.events else 0)
        return bare, empty, full

    def forget(self) -> None:
        """Empty conntrack of the connections that `new` opens again."""
        self.loaded.maps["ct4"].delete_batch(self.loaded.maps["ct4"].dump()[0])

    def drain(self, expected: int | None = None) -> None:
        """Take all events out. Raises ValueError when there were more or less than expected."""
        count = 0
        while taken := len(self._ring.read()):
            count += taken
        if expected is not None and count != expected:
            raise ValueError(f"{count} events, expected {expected}")


def measure(rounds: int, say: Callable[[str], None]) -> list[Timing]:
    """Run all cases in turn, so many rounds. The calling thread stays on one CPU meanwhile."""
    chosen = cases()
    samples: dict[str, list[tuple[int, int, int]]] = {case.name: [] for case in chosen}
    # The CPU first: an LRU map keeps the last elements that each CPU has made from being evicted.
    with on_last_cpu(), _benches() as find:
        for number in range(rounds):
            for case in chosen:
                samples[case.name].append(find(case).measure(case))
            if number % 10 == 0:
                say(f"test runs: round {number + 1} of {rounds}")
    return [_timing(name, measured) for name, measured in samples.items()]


@contextmanager
def _benches() -> Iterator[Callable[[Case], Bench]]:
    """One object each for established connections, new ones, and new ones with a conntrack that is always full."""
    with ExitStack() as stack:
        code = measured_object()
        knobs = {"jiffies_per_second": jiffies_per_second()}
        sizes: tuple[dict[str, int], ...] = ({}, {}, {"ct4": FULL_TABLE})
        empty = stack.enter_context(empty_program())
        loaded = [stack.enter_context(load(knobs, size, code)) for size in sizes]
        established, new, full = (Bench(each, empty) for each in loaded)
        for case in cases():
            established.open_flows(case)

        def find(case: Case) -> Bench:
            return full if case.full else new if case.events else established

        evicting = next(case for case in cases() if case.full)
        full.run(evicting.program, evicting, FLOWS)
        full.drain()
        yield find


@contextmanager
def on_last_cpu() -> Iterator[None]:
    """Keep the calling thread on one CPU: the counters and caches are its own."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _timing(name: str, measured: list[tuple[int, int, int]]) -> Timing:
    added = sorted(full - empty for _, empty, full in measured)
    spread = added[len(added) * 3 // 4] - added[len(added) // 4]
    return Timing(name, median(bare for bare, _, _ in measured), median(added), spread)
