"""Ranges: what is in use is never given out twice, and what is given back fits again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.datapath.ranges import RangeAllocator
from ringfence.datapath.rows import MapFullError


def no_overlap(ranges: dict[int, int]) -> bool:
    ends = sorted((begin, begin + words) for begin, words in ranges.items())
    return all(end <= begin for (_, end), (begin, _) in pairwise(ends))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60))
def test_ranges_in_use_never_overlap(steps: list[tuple[bool, int]]) -> None:
    """Whatever is taken and given back, and also after another process has taken the array over."""
    allocator = RangeAllocator("service_tables", 1 << 16, {})
    used: dict[int, int] = {}
    for take, words in steps:
        if take or not used:
            used[allocator.take(words)] = words
        else:
            begin = next(iter(used))
            allocator.give(begin)
            del used[begin]
        assert 0 not in used
        assert no_overlap(used)
    later = RangeAllocator("service_tables", 1 << 16, used)
    for words in range(1, 20):
        used[later.take(words)] = words
    assert no_overlap(used)


def test_a_full_array_is_told_and_what_was_given_back_fits_again() -> None:
    """An array that is full says how to have a larger one; a large range that is free is divided."""
    allocator = RangeAllocator("service_tables", 65, {})
    whole = allocator.take(64)
    with pytest.raises(MapFullError, match="--map-size service_tables=130"):
        allocator.take(1)
    allocator.give(whole)
    assert len({allocator.take(8) for _ in range(8)}) == 8
