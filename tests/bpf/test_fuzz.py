"""Mutated packets of the corpus, read twice: by the programs and by a reader that shares nothing with them.

What policy lets through is known of each packet by itself, or, where connections are remembered, of all before it.
"""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest

from tests.bpf.conftest import wipe
from tests.bpf.host import Host, Outcome
from tests.bpf.mutating import PACKETS, SEEDS, mutated, same_but_for_the_way, unreadable
from tests.bpf.packets import SERVER_PORT
from tests.bpf.reading import Flow, fragment_of, quoted, read

PAIRS = {("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")}
NEIGHBOURS = 58
#: As deliver.h marks what an endpoint's own hook has judged, of an endpoint that is not here.
MARK = 0x5F000000


def allowed(flow: Flow | None) -> bool:
    """By the policy above."""
    if flow is None:
        return False
    pair = (flow.source, flow.destination)
    return pair in PAIRS and flow.protocol in {6, 17} and flow.destination_port == SERVER_PORT


def needs_no_policy(frame: bytes, flow: Flow | None) -> bool:
    """ARP and neighbour discovery."""
    return frame[12:14] == b"\x08\x06" or (flow is not None and flow.protocol == NEIGHBOURS)


def tuple_told(outcome: Outcome) -> tuple[object, ...]:
    event = outcome.event
    ends = []
    for side in ("source", "destination"):
        whole = event[side].tobytes()
        ends.append(str(ip_address(whole[12:] if event["family"] == 4 else whole)))
    return *ends, *(int(event[name]) for name in ("protocol", "source_port", "destination_port"))


def forget(host: Host) -> None:
    """What was before says nothing of the next packet."""
    for name in ("ct4", "ct6", "fragments"):
        wipe(host.loaded.maps[name])


@pytest.mark.parametrize("seed", SEEDS)
def test_both_readings_agree(closed: Host, seed: int) -> None:
    """What policy does not allow never passes, what it allows does; each packet is told once, with its own ends and
    ports; none is changed but by the hop.
    """
    draw = random.Random(seed)
    passed = 0
    for number in range(PACKETS):
        forget(closed)
        frame = mutated(draw)
        outcome, flow = closed.sends("frontend", frame), read(frame)
        about = f"seed {seed}, packet {number}: {frame.hex()}"
        if outcome.passed:
            assert allowed(flow) or needs_no_policy(frame, flow), about
            assert same_but_for_the_way(frame, outcome.run.data), about
        else:
            assert outcome.run.data == frame, about
            assert not allowed(flow) or unreadable(frame, flow), f"{outcome.reason.name}, {about}"
        if outcome.passed and allowed(flow):
            assert flow is not None
            assert tuple_told(outcome) == flow[:5], about
            passed += 1
        elif not outcome.passed:
            assert len(outcome.events) == 1, about
    assert passed > PACKETS // 20


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_before_lets_through_only_what_belongs_to_it(closed: Host, seed: int) -> None:
    """Nothing is forgotten from packet to packet: beside what policy allows, later fragments of a datagram whose first
    passed may pass, and errors about a connection that was allowed.
    """
    draw = random.Random(seed)
    firsts: set[object] = set()
    connections: set[tuple[object, ...]] = set()
    for number in range(PACKETS):
        frame = mutated(draw)
        outcome, flow = closed.sends("frontend", frame), read(frame)
        if not outcome.passed:
            continue
        about = f"seed {seed}, packet {number}: {frame.hex()}"
        if allowed(flow):
            assert flow is not None
            firsts.add(fragment_of(frame))
            connections.add(flow[:5])
            continue
        error = quoted(frame)
        belongs = fragment_of(frame) in firsts if flow is None else error is not None and answered(error) in connections
        assert belongs or needs_no_policy(frame, flow), about


def answered(flow: Flow) -> tuple[object, ...]:
    """The connection that a packet answers."""
    return flow.destination, flow.source, flow.protocol, flow.destination_port, flow.source_port


@pytest.mark.parametrize("mark", [0, MARK], ids=["of the stack", "of another endpoint"])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_endpoint_is_given_only_what_policy_allows(closed: Host, seed: int, mark: int) -> None:
    """The other hook reads the same: unmarked, a packet with a workload's source is forged; marked, policy decides."""
    draw = random.Random(seed)
    passed = 0
    for number in range(PACKETS):
        forget(closed)
        frame = mutated(draw)
        outcome, flow = closed.gets("backend", frame, mark), read(frame)
        about = f"seed {seed}, packet {number}: {frame.hex()}"
        assert outcome.run.data == frame, about
        if outcome.passed:
            assert (mark and allowed(flow)) or needs_no_policy(frame, flow), about
            passed += allowed(flow)
        elif mark and allowed(flow):
            assert unreadable(frame, flow), f"{outcome.reason.name}, {about}"
    assert passed > PACKETS // 20 or not mark
