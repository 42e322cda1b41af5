"""Mutated packets of the corpus, read twice: by the programs and by a reader that shares nothing with them.

Bounded and by seed; `make fuzz` runs far more, with other seeds each time.
"""

from __future__ import annotations

import os
import random
from ipaddress import ip_address

import pytest

from tests.bpf.conftest import wipe
from tests.bpf.host import Host, Outcome
from tests.bpf.hostile import corpus
from tests.bpf.packets import SERVER_PORT
from tests.bpf.reading import Flow, read

PACKETS = int(os.environ.get("FUZZ_PACKETS", "1000"))
SEEDS = [int(os.environ["FUZZ_SEED"])] if "FUZZ_SEED" in os.environ else [1, 2, 3]
PAIRS = {("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")}
FRAMES = [each.frame for each in corpus()]
SHORTEST = 54  # a test run refuses frames that are shorter than their IP header
TELLING = (0, 1, 6, 17, 43, 44, 50, 51, 58, 59, 60, 255)
NEIGHBOURS = 58


def mutated(draw: random.Random) -> bytes:
    """A packet of the corpus with some bytes changed, and sometimes cut or padded."""
    frame = bytearray(draw.choice(FRAMES))
    for _ in range(draw.randint(0, 3)):
        frame[draw.randrange(12, len(frame))] = draw.choice([*TELLING, draw.randrange(256)])
    if draw.random() < 0.2:
        del frame[draw.randint(SHORTEST, max(SHORTEST, len(frame))) :]
    return bytes(frame.ljust(SHORTEST, b"\0")) + draw.randbytes(draw.choice([0, 0, 8, 40]))


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


def same_but_for_the_way(before: bytes, after: bytes) -> bool:
    """Whether only what a hop changes is another: both MAC addresses, and TTL with its checksum or the hop limit."""
    way = {*range(12), *((22, 24, 25) if before[12:14] == b"\x08\x00" else (21,))}
    return len(before) == len(after) and all(
        one == other for at, (one, other) in enumerate(zip(before, after, strict=True)) if at not in way
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_both_readings_agree(closed: Host, seed: int) -> None:
    """What policy does not allow never passes, what it allows does; each packet is told once, with its own ends and
    ports; none is changed but by the hop.
    """
    draw = random.Random(seed)
    passed = 0
    for number in range(PACKETS):
        for name in ("ct4", "ct6", "fragments"):
            wipe(closed.loaded.maps[name])
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


def unreadable(frame: bytes, flow: Flow | None) -> bool:
    """What we drop though it could be read: many headers, or a fragment of a fragment."""
    assert flow is not None
    fragments = flow.steps > 1 and 44 in frame[20:]
    return flow.steps > 8 or flow.offset > 300 or fragments
