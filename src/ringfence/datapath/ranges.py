"""Ranges of an array, given out and taken back. Sizes are rounded up to powers of two: what is given back fits again.

A range that was given back is given out again as late as possible: a packet that is being judged may still read it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ringfence.datapath.rows import MapFullError


class RangeAllocator:
    """Ranges of words from 1 to size - 1; word 0 is nobody's."""

    def __init__(self, name: str, size: int, used: Mapping[int, int]) -> None:
        """`used`: the beginnings of ranges that are in use, and how many words each has."""
        self._name = name
        self._size = size
        self._free: dict[int, deque[int]] = {}
        self._length = {begin: _rounded(words) for begin, words in used.items()}
        self._next = 1
        for begin in sorted(self._length):
            self._give_gap(self._next, begin)
            self._next = max(self._next, begin + self._length[begin])

    def take(self, words: int) -> int:
        """The beginning of a range of at least so many words. Raises `MapFullError`."""
        length = _rounded(words)
        if self._next + length <= self._size:
            begin, self._next = self._next, self._next + length
        elif self._free.get(length):
            begin = self._free[length].popleft()
        else:
            begin = self._split(length)
        self._length[begin] = length
        return begin

    def give(self, begin: int) -> None:
        """Take a range back."""
        self._free.setdefault(self._length.pop(begin), deque()).append(begin)

    def _split(self, length: int) -> int:
        larger = [each for each, ranges in self._free.items() if each > length and ranges]
        if not larger:
            size = f"{self._name}={2 * self._size}"
            raise MapFullError(
                f"map {self._name} is full at {self._size} words; start the agent with --map-size {size}"
            )
        found = min(larger)
        begin = self._free[found].popleft()
        self._give_gap(begin + length, begin + found)
        return begin

    def _give_gap(self, begin: int, end: int) -> None:
        while begin < end:
            length = 1 << (end - begin).bit_length() - 1
            self._free.setdefault(length, deque()).append(begin)
            begin += length


def _rounded(words: int) -> int:
    return 1 << max(words - 1, 0).bit_length()
