from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.datapath.rows import MapFullError, RowAllocator
from ringfence.errors import RingfenceError


def test_row_zero_is_nobodys() -> None:
    """Rows are given out from 1 up to the size of the map."""
    rows = RowAllocator("policy", 4)
    assert [rows.take() for _ in range(3)] == [1, 2, 3]


def test_a_full_map_says_which_and_how_large() -> None:
    """The error names the map and its size, and what to do."""
    rows = RowAllocator("policy", 2)
    rows.take()
    with pytest.raises(MapFullError, match=r"map policy is full at 2 entries; .*--map-size") as failure:
        rows.take()
    assert isinstance(failure.value, RingfenceError)


def test_a_freed_row_is_given_out_as_late_as_possible() -> None:
    """Rows that were never used come first, then freed ones, the one freed longest ago first."""
    rows = RowAllocator("policy", 5)
    for _ in range(3):
        rows.take()
    rows.give(2)
    rows.give(1)
    assert [rows.take() for _ in range(3)] == [4, 2, 1]


def test_a_taken_over_map_keeps_its_rows() -> None:
    """Rows that are in use are not given out; the gaps between them are, after what lies beyond."""
    rows = RowAllocator("policy", 7, used=[2, 5])
    assert [rows.take() for _ in range(4)] == [6, 1, 3, 4]
    with pytest.raises(MapFullError):
        rows.take()


@given(st.integers(2, 8), st.lists(st.booleans(), max_size=40), st.data())
def test_no_row_is_ever_given_out_twice(size: int, steps: list[bool], data: st.DataObject) -> None:
    """Whatever is taken and given back, rows in use differ, and a map is full only when all are in use."""
    rows, used = RowAllocator("policy", size), set[int]()
    for take in steps:
        if take and len(used) == size - 1:
            with pytest.raises(MapFullError):
                rows.take()
        elif take:
            row = rows.take()
            assert 0 < row < size
            assert row not in used
            used.add(row)
        elif used:
            row = data.draw(st.sampled_from(sorted(used)))
            used.remove(row)
            rows.give(row)
