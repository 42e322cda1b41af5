"""Durations: how many took how long, in the buckets of a histogram."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from prometheus_client.utils import floatToGoString

#: Seconds. A commit of one rule takes some tenths of a millisecond; the longest bucket is what a person would wait.
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Durations:
    """Observed durations in seconds."""

    def __init__(self) -> None:
        self.sum = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)

    def observe(self, seconds: float) -> None:
        """One took so long."""
        self.sum += seconds
        self._counts[bisect_left(BOUNDS, seconds)] += 1

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """How many took at most so long, each bound as Prometheus writes it."""
        bounds = (*map(floatToGoString, BOUNDS), "+Inf")
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
