"""Maglev: a table in which a backend that comes or goes moves few of the others' entries (NSDI 2016, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

DEFAULT_SIZE = 16381
#: What tables may be as large as (Cilium's choice): primes, so that every skip visits every entry.
SIZES = (251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071)


def maglev(names: Sequence[str], size: int) -> list[int]:
    """For each entry of the table the index of its backend. The names, not their order, decide who gets which."""
    if not names:
        return []
    order = sorted(range(len(names)), key=names.__getitem__)
    steps = [_offset_and_skip(names[index], size) for index in order]
    table = [-1] * size
    at = [offset for offset, _ in steps]
    filled = 0
    while True:
        for turn, index in enumerate(order):
            place, skip = at[turn], steps[turn][1]
            while table[place] >= 0:
                place = (place + skip) % size
            table[place] = index
            at[turn] = (place + skip) % size
            filled += 1
            if filled == size:
                return table


def _offset_and_skip(name: str, size: int) -> tuple[int, int]:
    digest = blake2b(name.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little") % size, int.from_bytes(digest[8:], "little") % (size - 1) + 1
