from __future__ import annotations

import numpy as np
import pytest

from ringfence.abi import EVENT
from ringfence.agent.metrics.commits import Enforcement
from ringfence.agent.metrics.durations import BOUNDS, Durations
from ringfence.flow.decode import Events

SECOND = 1_000_000_000


def judged(*revisions_and_times: tuple[int, int]) -> Events:
    events = np.zeros(len(revisions_and_times), EVENT)
    events["revision"], events["time"] = zip(*revisions_and_times, strict=True)
    return events


def test_enforcement_ends_with_the_first_packet_of_a_revision() -> None:
    """From the begin of the commit to the earliest event of that revision, wherever in a batch it stands."""
    enforcement = Enforcement()
    enforcement.begun(8, 10 * SECOND)
    enforcement.see(judged((7, 10 * SECOND), (7, 11 * SECOND)))
    assert 0 == enforcement.durations.count
    enforcement.see(judged((8, 13 * SECOND), (8, 12 * SECOND), (7, 11 * SECOND)))
    enforcement.see(judged((8, 14 * SECOND)))
    assert (1, 2.0) == (enforcement.durations.count, enforcement.durations.sum)


def test_a_revision_that_judged_nothing_ends_with_the_next() -> None:
    """Two commits between two packets are both in force with the second packet."""
    enforcement = Enforcement()
    enforcement.begun(8, 10 * SECOND)
    enforcement.begun(9, 11 * SECOND)
    enforcement.see(judged((9, 12 * SECOND)))
    assert (2, 3.0) == (enforcement.durations.count, enforcement.durations.sum)


def test_what_is_never_judged_is_not_awaited_without_end() -> None:
    """With events switched off nothing piles up; the newest revisions are those that count."""
    enforcement = Enforcement()
    for revision in range(1, 1001):
        enforcement.begun(revision, 0)
    enforcement.see(judged((1000, SECOND)))
    assert 256 == enforcement.durations.count


@pytest.mark.parametrize("seconds", [0.0, BOUNDS[3], BOUNDS[-1], 60.0])
def test_a_duration_is_in_every_bucket_from_its_own_on(seconds: float) -> None:
    """Buckets count what took at most so long; the last counts all."""
    durations = Durations()
    durations.observe(seconds)
    expected = [float(seconds <= bound) for bound in BOUNDS] + [1.0]
    assert expected == [count for _, count in durations.buckets()]
    assert "+Inf" == durations.buckets()[-1][0]
