"""Rows of a mapped array, given out and taken back.

A row that was freed is given out again as late as possible: a packet that is being judged may still hold its number.
That is safe at any time (a stale judge finds slots newer than its revision, which say nothing, and judges again); late
reuse makes it rare.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from ringfence.errors import RingfenceError


class MapFullError(RingfenceError):
    """A map has no room for what a commit needs; nothing was changed."""


class RowAllocator:
    """Row numbers from 1 to size - 1; row 0 is nobody's."""

    def __init__(self, name: str, size: int, used: Collection[int] = ()) -> None:
        self._name = name
        self._size = size
        self._next = max(used, default=0) + 1
        taken = set(used)
        self._freed = deque(row for row in range(1, self._next) if row not in taken)

    def take(self) -> int:
        """A free row. Raises `MapFullError`."""
        if self._next < self._size:
            self._next += 1
            return self._next - 1
        if self._freed:
            return self._freed.popleft()
        size = f"{self._name}={2 * self._size}"
        raise MapFullError(f"map {self._name} is full at {self._size} entries; start the agent with --map-size {size}")

    def give(self, row: int) -> None:
        """Take a row back."""
        self._freed.append(row)
