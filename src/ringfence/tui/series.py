"""Series: numbers over time, their sparkline, and rates of counters that only grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

LONGEST: Final = 400
_BARS: Final = "▁▂▃▄▅▆▇█"


class Series:
    """The newest numbers of a row, oldest first."""

    def __init__(self) -> None:
        self._numbers: deque[float] = deque(maxlen=LONGEST)

    def add(self, number: float) -> None:
        """Take in the newest."""
        self._numbers.append(number)

    def clear(self) -> None:
        """Forget all of them: what comes next counts something else."""
        self._numbers.clear()

    @property
    def newest(self) -> float:
        return self._numbers[-1] if self._numbers else 0.0

    @property
    def most(self) -> float:
        return max(self._numbers, default=0.0)

    def line(self, width: int) -> str:
        """The newest numbers as bars, flush right; the highest of those shown is a whole bar."""
        return sparkline(list(self._numbers)[-width:] if width > 0 else []).rjust(max(width, 0))


def sparkline(numbers: Sequence[float]) -> str:
    """Numbers as bars of eighths; what is not nothing is more than the line that nothing is."""
    most = max(numbers, default=0.0)
    return "".join(_bar(number / most if most else 0.0) for number in numbers)


def _bar(part: float) -> str:
    return _BARS[0] if part <= 0 else _BARS[max(1, round(part * (len(_BARS) - 1)))]


class Rates:
    """How fast counters grow, from what they were when last read."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._counters: Mapping[Hashable, int] = {}
        self._rates: dict[Hashable, float] = {}

    def take(self, at: float, counters: Iterable[tuple[Hashable, int]]) -> None:
        """Take in the counters of a moment, in seconds of whatever clock."""
        now = dict(counters)
        if self._at is not None and at > self._at:
            seconds = at - self._at
            # One that went back was counted anew, by programs that were loaded since.
            grown = {key: max(0, number - self._counters.get(key, number)) for key, number in now.items()}
            self._rates = {key: number / seconds for key, number in grown.items()}
        self._at, self._counters = at, now

    def of(self, key: Hashable) -> float:
        """How fast a counter grows a second; 0 for one that was read only once."""
        return self._rates.get(key, 0.0)
