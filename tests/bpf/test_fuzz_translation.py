"""Mutated packets where addresses and ports are translated: to a service, to a node port, to the node's own address.

Held against a reader that shares nothing with the programs: the packet that comes out reads as the one that went in,
but for what is translated; and every checksum is as right, or as wrong, as it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest

from ringfence.datapath.snat import SnatTable
from tests.bpf.host import LOOPBACK, Host, Outcome
from tests.bpf.mutating import PACKETS, SEEDS, mutated, unreadable
from tests.bpf.packets import SERVER_PORT
from tests.bpf.reading import Flow, fragment_of, read, residues

FRONTEND, BACKEND = {4: "10.0.0.1", 6: "fd00::1"}, {4: "10.0.0.2", 6: "fd00::2"}
VIRTUAL, NODE = {4: "10.96.0.10", 6: "fd96::10"}, {4: "198.51.100.1", 6: "2001:db8:ffff::1"}
OUTSIDE = {4: "192.0.2.1", 6: "2001:db8::1"}
TRANSLATED = {6, 17}
SERVED = {(address, SERVER_PORT) for address in (*VIRTUAL.values(), *NODE.values())}
#: Where the source and the destination lie in a frame, by family.
_ENDS = {4: (26, 30, 4), 6: (22, 38, 16)}


def family_of(frame: bytes) -> int:
    return {b"\x08\x00": 4, b"\x86\xdd": 6}.get(frame[12:14], 0)


def between(frame: bytes, source: dict[int, str], destination: dict[int, str]) -> bytes:
    """The frame with other ends, where the corpus' own stood; its checksum is wrong then, unless it was before."""
    family = family_of(frame)
    if not family:
        return frame
    changed = bytearray(frame)
    first, second, size = _ENDS[family]
    for at, old, new in ((first, FRONTEND, source), (second, BACKEND, destination)):
        if changed[at : at + size] == ip_address(old[family]).packed:
            changed[at : at + size] = ip_address(new[family]).packed
    return bytes(changed)


@pytest.fixture
def open_host(host: Host) -> Iterator[Host]:
    """Nothing is isolated; a service and a node port lead to the backend, and an uplink is where packets come in."""
    uplinks = SnatTable(host.loaded.maps)
    uplinks.set_uplink(LOOPBACK, [ip_address(each) for each in NODE.values()])
    for family in (4, 6):
        for protocol in TRANSLATED:
            for address in (VIRTUAL, NODE):
                host.serve(address[family], SERVER_PORT, (BACKEND[family], 9090), protocol=protocol, name=f"a/{family}")
    yield host
    uplinks.forget(lambda _flow: True)
    uplinks.remove_uplink(LOOPBACK)


def led(flow: Flow) -> Flow:
    """To the backend behind a service."""
    family = 6 if ":" in flow.source else 4
    return flow._replace(destination=BACKEND[family], destination_port=9090)


def check(before: bytes, outcome: Outcome, expected: Flow, about: str, *, port_may_differ: bool = False) -> None:
    after = read(outcome.run.data)
    assert after is not None, about
    if port_may_differ:
        expected = expected._replace(source_port=after.source_port)
    assert after == expected, about
    assert len(outcome.run.data) == len(before), about
    assert residues(outcome.run.data) == residues(before), about


def fuzz(seed: int, run: Callable[[bytes], bool]) -> None:
    """Send mutated packets; `run` says whether one was translated, and a fair part has to be."""
    draw = random.Random(seed)
    assert sum(run(mutated(draw)) for _ in range(PACKETS)) > PACKETS // 50


@pytest.mark.parametrize("seed", SEEDS)
def test_what_goes_to_a_service_goes_to_its_backend(open_host: Host, seed: int) -> None:
    """Out of a workload: what asks for the service reads as asking its backend, and what does not is left alone."""

    def run(original: bytes) -> bool:
        frame = between(original, FRONTEND, VIRTUAL)
        outcome, flow, about = open_host.sends("frontend", frame), read(frame), f"seed {seed}: {frame.hex()}"
        asked = flow is not None and (flow.destination, flow.destination_port) in SERVED
        if not outcome.passed:
            assert outcome.run.data == frame, about
            return False
        if flow is not None and asked and flow.protocol in TRANSLATED:
            check(frame, outcome, led(flow), about)
            return True
        assert residues(outcome.run.data) == residues(frame), about
        assert read(outcome.run.data) == flow, about
        return False

    fuzz(seed, run)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_to_a_node_port_goes_to_its_backend(open_host: Host, seed: int) -> None:
    """In by an uplink: what asks for the node port reads as asking the backend; all else is the stack's, as it is."""
    firsts: set[object] = set()

    def run(original: bytes) -> bool:
        frame = between(original, OUTSIDE, NODE)
        outcome, flow, about = open_host.run("from_uplink", frame), read(frame), f"seed {seed}: {frame.hex()}"
        if outcome.run.data == frame or follows(frame, flow, firsts):
            return False
        firsts.add(fragment_of(frame))
        assert outcome.passed, about
        assert flow is not None, about
        assert (flow.destination, flow.destination_port) in SERVED, about
        assert flow.protocol in TRANSLATED, about
        check(frame, outcome, led(flow), about)
        return True

    fuzz(seed, run)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_leaves_is_the_nodes(open_host: Host, seed: int) -> None:
    """Out by an uplink: what a workload sends to the world has the node's address, and a port or identifier that may be
    another; nothing leaves by a workload's own address that its own hook can read (and would not have dropped).
    """
    firsts: set[object] = set()

    def run(original: bytes) -> bool:
        frame = between(original, FRONTEND, OUTSIDE)
        outcome, flow, about = open_host.run("to_uplink", frame), read(frame), f"seed {seed}: {frame.hex()}"
        if outcome.run.data == frame:
            assert not (outcome.passed and is_to_be_translated(frame, flow)), about
            return False
        if follows(frame, flow, firsts):
            return False
        firsts.add(fragment_of(frame))
        assert outcome.passed, about
        assert flow is not None, about
        source = NODE[6 if ":" in flow.source else 4]
        assert flow.source in (*FRONTEND.values(), source), about  # the node's own port may be another flow's
        check(frame, outcome, flow._replace(source=source), about, port_may_differ=True)
        return True

    fuzz(seed, run)


def follows(frame: bytes, flow: Flow | None, firsts: set[object]) -> bool:
    """A later fragment of a datagram whose first was translated: its addresses are too."""
    return flow is None and fragment_of(frame) in firsts


def is_to_be_translated(frame: bytes, flow: Flow | None) -> bool:
    """A workload's own, with ports, and for nobody of this host."""
    if flow is None or flow.protocol not in TRANSLATED or unreadable(frame, flow):
        return False
    return flow.source in FRONTEND.values() and flow.destination not in {*BACKEND.values(), *FRONTEND.values()}
