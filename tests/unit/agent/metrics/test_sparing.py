from __future__ import annotations

from ringfence.agent.metrics.sparing import Sparing


class Clock:
    """A clock that only stands or is put on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_costly_number_is_kept_a_hundred_times_as_long_as_it_took() -> None:
    """What takes half a second to count is counted every fifty seconds, however often it is asked for."""
    clock, counted = Clock(), []

    def count() -> int:
        clock.now += 0.5
        counted.append(clock.now)
        return len(counted)

    number = Sparing(count, clock)
    assert (1, 0) == number.get()
    clock.now += 49
    assert (1, 49) == number.get()
    clock.now += 1
    assert (2, 0) == number.get()
    assert 2 == len(counted)
