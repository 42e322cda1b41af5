"""Two slots under the revision number, as user space writes them.

Each row of a column has two 64-bit words {from_revision: 32, value: 32}; of those not newer than the active revision
the newest counts (`slot_at` in bpf/slot.h is the kernel's side). A commit writes the other one, for the revision to
come, and no packet sees it before that revision is active.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_FROM: Final = np.uint64(32)
_VALUE: Final = np.uint64(0xFFFFFFFF)

Words = NDArray[np.uint64]


def counting(words: Words, revision: int) -> NDArray[np.intp]:
    """Which of the two slots counts at a revision, for words of shape (rows, 2); 2 where neither does."""
    made = words >> _FROM
    current = made <= np.uint64(revision)
    first = current[:, 0] & (~current[:, 1] | (made[:, 0] >= made[:, 1]))
    return np.where(first, 0, np.where(current[:, 1], 1, 2))


def values(words: Words, revision: int) -> NDArray[np.uint32]:
    """What words of shape (rows, 2) say at a revision, 0 where they say nothing."""
    which = counting(words, revision)
    chosen = words[np.arange(len(words)), np.minimum(which, 1)]
    said: NDArray[np.uint32] = np.where(which < 2, chosen & _VALUE, np.uint64(0)).astype(np.uint32)
    return said


class SlotColumn:
    """One slotted field of a mapped array: what it says now, what a commit prepares, what is taken back."""

    def __init__(self, words: NDArray[Any]) -> None:
        self._words: Words = words

    def value(self, row: int, revision: int) -> int:
        """What a row says at a revision."""
        return int(values(self._words[row : row + 1], revision)[0])

    def values(self, rows: NDArray[np.uint32], revision: int) -> NDArray[np.uint32]:
        """What many rows say at a revision."""
        return values(self._words[rows], revision)

    def prepare(self, rows: list[int], new: list[int], active: int) -> None:
        """Let rows say `new` from the revision after `active` on."""
        if not rows:
            return
        index = np.array(rows, np.intp)
        free = (counting(self._words[index], active) + 1) % 2
        self._words[index, free] = (np.uint64(active + 1) << _FROM) | np.array(new, np.uint64)

    def prepare_with_past(self, row: int, old: int, new: int, active: int) -> None:
        """Let a fresh row say `old` up to `active` and `new` after it."""
        self._words[row, 0] = np.uint64(old)
        self._words[row, 1] = (active + 1) << 32 | new

    def clear_future(self, active: int) -> int:
        """Empty every slot newer than the active revision: a commit that was not finished. Returns how many."""
        future = (self._words >> _FROM) > np.uint64(active)
        self._words[future] = 0
        return int(future.sum())

    def wipe(self, row: int) -> None:
        """Let a row that nothing names any more say nothing."""
        self._words[row] = 0
