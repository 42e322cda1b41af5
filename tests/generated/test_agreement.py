from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.policy.builtin import Settings
from tests.generated.judging import agreed, packets, world_of
from tests.generated.pieces import Json
from tests.generated.worlds import worlds

#: About one packet in so many is asked of each world: many worlds find more than many packets of one.
ONE_IN = 4
LEAST_VERDICTS = 100_000
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def test_the_map_decides_by_the_same_rules_as_the_book() -> None:
    """For packets of any world, the compiled entries give the oracle's verdict, rule and tied rules."""
    verdicts = 0

    @settings(max_examples=170, deadline=None, suppress_health_check=SLOW)
    @given(worlds(), st.integers(0, 1000))
    def in_any_world(documents: list[Json], seed: int) -> None:
        nonlocal verdicts
        world = world_of(documents)
        verdicts += agreed(world, packets(world, ONE_IN, seed))

    in_any_world()
    assert verdicts >= LEAST_VERDICTS


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(worlds(2), st.integers(0, 1000))
def test_settings_change_both_judges_alike(documents: list[Json], seed: int) -> None:
    """Enforcement always and localhost always are rules to both judges."""
    world = world_of(documents, Settings(allow_localhost="always", enforcement="always"))
    agreed(world, packets(world, ONE_IN, seed))
