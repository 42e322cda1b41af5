"""The newest events, in a ring of rows that is made once: taking a batch costs what the batch is long.

One thread takes batches, others copy the ring meanwhile without a lock: a row counts as gone from the moment its
successor is begun, so what may have been overwritten while it was copied is left out of the copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ringfence.abi import EVENT
from ringfence.flow.decode import Events, raw
from ringfence.flow.source import Mark

DEFAULT_EVENTS: Final = 65536


@dataclass(frozen=True, slots=True)
class Kept:
    """A copy of what is kept. Every event that is not kept any more has a time of at most `seam_ns`; None if none is
    known to be older.
    """

    events: Events
    seam_ns: int | None


class Recent:
    """The newest `capacity` events, at least one."""

    def __init__(self, capacity: int = DEFAULT_EVENTS) -> None:
        self.capacity = capacity
        self._rows = raw(np.zeros(capacity, EVENT))
        # The latest time of all events before a row: times need not ascend, for processors write side by side.
        self._latest_before = np.zeros(capacity, np.uint64)
        self._latest = 0
        self._begun = 0
        self._written = 0

    @property
    def mark(self) -> Mark:
        """The place after the newest event."""
        return Mark(self._written, self._latest)

    def __len__(self) -> int:
        return min(self._written, self.capacity)

    def append(self, events: Events) -> None:
        """Take a batch in the place of the oldest events."""
        if not len(events):
            return
        latest = np.maximum.accumulate(np.concatenate([[np.uint64(self._latest)], events["time"]]))
        kept = min(len(events), self.capacity)
        self._begun += len(events)
        self._write(self._begun - kept, raw(events[-kept:]), latest[-kept - 1 : -1])
        self._latest = int(latest[-1])
        self._written = self._begun

    def _write(self, position: int, rows: npt.NDArray[np.void], latest_before: npt.NDArray[Any]) -> None:
        start = position % self.capacity
        room = self.capacity - start
        for column, values in ((self._rows, rows), (self._latest_before, latest_before)):
            column[start : start + len(values)] = values[:room]
            column[: max(0, len(values) - room)] = values[room:]

    def copy(self, before: Mark | None = None) -> Kept:
        """What is kept, oldest first; with a mark, what came before it. From any thread."""
        written = self._written
        start = max(0, written - self.capacity)
        rows, latest = self._read(self._rows, start, written), self._read(self._latest_before, start, written)
        # Rows begun since then may be of two events.
        gone = max(0, self._begun - self.capacity - start)
        rows, latest, start = rows[gone:].view(EVENT), latest[gone:], start + gone
        end = written if before is None else before.position
        if start:
            return Kept(rows[: max(0, end - start)], self._seam(latest, start, before))
        return Kept(rows[:end], int(rows["time"].min()) - 1 if len(rows) else None)

    @staticmethod
    def _seam(latest: npt.NDArray[Any], start: int, before: Mark | None) -> int | None:
        if before is not None and before.position <= start:
            return before.time_ns
        return int(latest[0]) if len(latest) else None

    def _read(self, column: npt.NDArray[Any], start: int, end: int) -> npt.NDArray[Any]:
        if start == end:
            return column[:0].copy()
        first, last = start % self.capacity, (end - 1) % self.capacity + 1
        return column[first:last].copy() if first < last else np.concatenate([column[first:], column[:last]])
