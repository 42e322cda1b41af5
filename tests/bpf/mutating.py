"""Packets of the corpus, mutated by a seed: what the fuzzers send. `make fuzz` sends far more, by other seeds."""

from __future__ import annotations

import os
import random
from typing import Final

from tests.bpf.hostile import corpus
from tests.bpf.reading import Flow

PACKETS: Final = int(os.environ.get("FUZZ_PACKETS", "1000"))
SEEDS: Final = [int(os.environ["FUZZ_SEED"])] if "FUZZ_SEED" in os.environ else [1, 2, 3]
_FRAMES: Final = [each.frame for each in corpus()]
_SHORTEST: Final = 54  # a test run refuses frames that are shorter than their IP header
_TELLING: Final = (0, 1, 6, 17, 43, 44, 50, 51, 58, 59, 60, 255)


def mutated(draw: random.Random) -> bytes:
    """A packet of the corpus with some bytes changed, and sometimes cut or padded."""
    frame = bytearray(draw.choice(_FRAMES))
    for _ in range(draw.randint(0, 3)):
        frame[draw.randrange(12, len(frame))] = draw.choice([*_TELLING, draw.randrange(256)])
    if draw.random() < 0.2:
        del frame[draw.randint(_SHORTEST, max(_SHORTEST, len(frame))) :]
    return bytes(frame.ljust(_SHORTEST, b"\0")) + draw.randbytes(draw.choice([0, 0, 8, 40]))


def same_but_for_the_way(before: bytes, after: bytes) -> bool:
    """Whether only what a hop changes is another: both MAC addresses, and TTL with its checksum or the hop limit."""
    way = {*range(12), *((22, 24, 25) if before[12:14] == b"\x08\x00" else (21,))}
    return len(before) == len(after) and all(
        one == other for at, (one, other) in enumerate(zip(before, after, strict=True)) if at not in way
    )


def unreadable(frame: bytes, flow: Flow | None) -> bool:
    """What we drop though it could be read: many headers, or a fragment of a fragment."""
    assert flow is not None
    fragments = flow.steps > 1 and 44 in frame[20:]
    return flow.steps > 8 or flow.offset > 300 or fragments
