from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.datapath.slots import SlotColumn, counting, values


def word(revision: int, value: int) -> int:
    return revision << 32 | value


def column(*rows: tuple[int, int]) -> SlotColumn:
    return SlotColumn(np.array(rows, np.uint64).reshape(-1, 2))


def by_the_book(slots: Sequence[int], revision: int) -> int:
    """Of the slots not newer than the revision the newest; of equals the first."""
    current = [slot for slot in slots if slot >> 32 <= revision]
    return max(current, key=lambda slot: slot >> 32) & 0xFFFFFFFF if current else 0


@pytest.mark.parametrize(
    ("slots", "revision", "said"),
    [
        ((0, 0), 5, 0),
        ((word(3, 7), 0), 5, 7),
        ((word(3, 7), word(5, 8)), 5, 8),
        ((word(3, 7), word(6, 8)), 5, 7),
        ((word(6, 7), word(6, 8)), 5, 0),
        ((word(5, 0), word(3, 8)), 5, 0),
        ((0xFFFFFFFF, word(1, 2)), 0, 0xFFFFFFFF),
        ((word(0xFFFFFFFF, 1), word(0xFFFFFFFE, 2)), 0xFFFFFFFE, 2),
    ],
)
def test_the_newest_slot_that_is_not_too_new_counts(slots: tuple[int, int], revision: int, said: int) -> None:
    """A slot newer than the revision says nothing; of the others the newer one is what the row says."""
    assert column(slots).value(0, revision) == said


REVISIONS = st.integers(0, 6)
SLOTS = st.builds(word, REVISIONS, st.integers(0, 3))


@given(st.lists(st.tuples(SLOTS, SLOTS), min_size=1, max_size=5), REVISIONS)
def test_all_rows_are_read_by_the_same_rule(rows: list[tuple[int, int]], revision: int) -> None:
    """Rows read together say what each says alone, by the rule read by the book."""
    words = np.array(rows, np.uint64)
    assert values(words, revision).tolist() == [by_the_book(row, revision) for row in rows]
    assert set(counting(words, revision).tolist()) <= {0, 1, 2}


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.booleans()), max_size=12))
def test_a_row_says_what_the_last_finished_commit_wrote(commits: list[tuple[int, bool]]) -> None:
    """Through any sequence of commits, finished and taken back, each revision says what it said when it was active."""
    slots, said, active = column((0, 0)), 0, 0
    for value, finished in commits:
        slots.prepare([0], [value], active)
        assert slots.value(0, active) == said
        assert slots.value(0, active + 1) == value
        if finished:
            said, active = value, active + 1
        else:
            slots.clear_future(active)
        assert slots.value(0, active) == said


def test_the_revision_before_is_still_said_while_one_is_prepared() -> None:
    """Preparing writes over the slot that does not count, so a judge of the active revision reads what it read."""
    slots = column((word(1, 7), word(2, 8)))
    slots.prepare([0], [9], 2)
    assert (slots.value(0, 2), slots.value(0, 3)) == (8, 9)


def test_a_fresh_row_has_a_past() -> None:
    """A new row says what was true before it up to the active revision, and what is new after."""
    slots = column((word(9, 9), word(9, 9)))
    slots.prepare_with_past(0, 5, 6, 9)
    assert (slots.value(0, 0), slots.value(0, 9), slots.value(0, 10)) == (5, 5, 6)


def test_only_the_future_is_cleared() -> None:
    """Slots newer than the active revision are emptied and counted; all others stay."""
    slots = column((word(1, 7), word(4, 8)), (word(5, 1), word(3, 2)), (word(3, 3), word(2, 4)))
    assert slots.clear_future(3) == 2
    assert [slots.value(row, 9) for row in range(3)] == [7, 2, 3]


def test_preparing_nothing_writes_nothing() -> None:
    """A commit that changes no row leaves the column alone."""
    words = np.zeros((2, 2), np.uint64)
    SlotColumn(words).prepare([], [], 3)
    assert not words.any()


def test_many_rows_are_prepared_at_once() -> None:
    """Each row gets its own value in its own free slot."""
    slots = column((word(1, 7), word(2, 8)), (word(2, 7), word(1, 8)), (0, 0))
    slots.prepare([0, 1, 2], [10, 11, 12], 2)
    assert slots.values(np.arange(3, dtype=np.uint32), 2).tolist() == [8, 7, 0]
    assert slots.values(np.arange(3, dtype=np.uint32), 3).tolist() == [10, 11, 12]


def test_a_wiped_row_says_nothing_at_any_revision() -> None:
    """Wiping empties both slots."""
    slots = column((word(1, 7), word(2, 8)))
    slots.wipe(0)
    assert [slots.value(0, revision) for revision in range(4)] == [0, 0, 0, 0]
