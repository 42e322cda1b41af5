"""How many flows were seen: in all, and a second over the last minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from ringfence.flow.decode import Events

_SECONDS = 60


class Seen:
    """A count of events by the second of the last minute; `add` is fed every batch."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._by_second: deque[tuple[int, int]] = deque()
        self.total = 0

    @property
    def uptime_ns(self) -> int:
        """For how long it has been counting."""
        return int((self._clock() - self._started) * 1_000_000_000)

    def add(self, events: Events) -> None:
        """Count a batch."""
        self.total += len(events)
        second = int(self._clock())
        if self._by_second and self._by_second[-1][0] == second:
            self._by_second[-1] = second, self._by_second[-1][1] + len(events)
        else:
            self._by_second.append((second, len(events)))
        self._forget(second)

    def rate(self) -> float:
        """Events a second over the last minute, or since counting began."""
        now = self._clock()
        self._forget(int(now))
        seconds = min(max(now - self._started, 1.0), _SECONDS)
        return sum(count for _, count in self._by_second) / seconds

    def _forget(self, second: int) -> None:
        while self._by_second and self._by_second[0][0] <= second - _SECONDS:
            self._by_second.popleft()
