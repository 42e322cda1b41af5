"""Sparing: what costs something to find out is found out so seldom that it takes a hundredth of a processor at most."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

Value = TypeVar("Value")

_REST_FACTOR = 100


class Sparing(Generic[Value]):
    """A value that is kept for a hundred times as long as finding it out took. Not for several threads at once."""

    def __init__(self, find_out: Callable[[], Value], clock: Callable[[], float] = monotonic) -> None:
        self._find_out = find_out
        self._clock = clock
        self._kept: tuple[Value, float] | None = None
        self._good_until = 0.0

    def get(self) -> tuple[Value, float]:
        """The value, and how many seconds ago it was found out."""
        now = self._clock()
        if self._kept is None or now >= self._good_until:
            value = self._find_out()
            found = self._clock()
            self._kept = value, found
            self._good_until = found + _REST_FACTOR * (found - now)
            now = found
        value, found = self._kept
        return value, now - found
