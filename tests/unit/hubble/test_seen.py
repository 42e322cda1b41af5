"""How many flows were seen, and how fast."""

from __future__ import annotations

import numpy as np
import pytest

from ringfence.hubble.seen import Seen
from tests.unit.flow.batch import event


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_that_of_the_last_minute() -> None:
    """What was seen longer ago counts in all, not for the rate."""
    clock = Clock()
    seen = Seen(clock)
    batch = np.repeat(event(), 30)
    for _ in range(4):
        seen.add(batch)
        clock.now += 15
    assert 120 == seen.total
    assert pytest.approx(90 / 60) == seen.rate()
    clock.now += 600
    assert (120, 0) == (seen.total, seen.rate())
    assert 660 * 10**9 == seen.uptime_ns


def test_a_server_that_has_just_started_has_a_rate() -> None:
    """It is over the time since, and at least a second."""
    clock = Clock()
    seen = Seen(clock)
    seen.add(np.repeat(event(), 10))
    assert 10 == seen.rate()
    clock.now += 4
    assert 2.5 == seen.rate()
