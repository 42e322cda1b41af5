"""The newest events in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ringfence.abi import EVENT
from ringfence.flow.decode import Events
from ringfence.flow.recent import Recent


def batch(first: int, number: int, times: Sequence[int] | None = None) -> Events:
    """Events whose revisions count on from `first`, and whose times are ten times that."""
    events = np.zeros(number, EVENT)
    events["revision"] = np.arange(first, first + number)
    events["time"] = events["revision"] * 10 if times is None else times
    return events


def fill(recent: Recent, *sizes: int) -> int:
    """Append batches of these sizes; how many events that were."""
    total = 0
    for size in sizes:
        recent.append(batch(total, size))
        total += size
    return total


@pytest.mark.parametrize(
    "sizes", [(3,), (8,), (5, 5), (3, 3, 3, 3, 3), (20,), (7, 20, 1), (8, 8, 8), (1,) * 19, (0, 9, 0)]
)
def test_the_newest_are_kept_in_order(sizes: tuple[int, ...]) -> None:
    """Whatever the batches are, the newest eight events come out oldest first."""
    recent = Recent(8)
    total = fill(recent, *sizes)
    assert list(range(max(0, total - 8), total)) == recent.copy().events["revision"].tolist()
    assert min(total, 8) == len(recent)


def test_a_copy_stays_as_it_was() -> None:
    """What comes later does not change what somebody has already."""
    recent = Recent(4)
    fill(recent, 4)
    copy = recent.copy()
    recent.append(batch(100, 4))
    assert [0, 1, 2, 3] == copy.events["revision"].tolist()


@pytest.mark.parametrize(("expected", "sizes"), [(None, ()), (-1, (3,)), (30, (6, 6)), (110, (20,))])
def test_the_seam_is_the_latest_time_of_what_is_gone(expected: int | None, sizes: tuple[int, ...]) -> None:
    """Everything later than it is still there; while nothing has gone, it lies just before the earliest."""
    recent = Recent(8)
    fill(recent, *sizes)
    assert expected == recent.copy().seam_ns


def test_times_that_do_not_ascend() -> None:
    """Processors write side by side: an event that is gone may be later than one that is kept."""
    recent = Recent(2)
    recent.append(batch(0, 4, [10, 50, 40, 60]))
    kept = recent.copy()
    assert [40, 60] == kept.events["time"].tolist()
    assert 50 == kept.seam_ns


def test_before_a_mark() -> None:
    """A mark parts what has come from what comes, also when the first of it is gone or all of it."""
    recent = Recent(8)
    fill(recent, 5)
    mark = recent.mark
    assert (5, 40) == (mark.position, mark.time_ns)
    found = []
    for start in (5, 8, 11, 14):
        recent.append(batch(start, 3))
        kept = recent.copy(mark)
        found.append((kept.events["revision"].tolist(), kept.seam_ns))
    assert [([0, 1, 2, 3, 4], -1), ([3, 4], 20), ([], 40), ([], 40)] == found


def test_rows_overwritten_while_they_are_copied_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is never a mixture of old and new; what it lacks lies before its seam."""
    recent = Recent(8)
    fill(recent, 8)
    read = Recent._read

    def slow(self: Recent, column: Events, start: int, end: int) -> Events:
        if column is self._rows:
            self.append(batch(8, 3))
        return read(self, column, start, end)

    monkeypatch.setattr(Recent, "_read", slow)
    kept = recent.copy()
    assert [3, 4, 5, 6, 7] == kept.events["revision"].tolist()
    assert 20 == kept.seam_ns
