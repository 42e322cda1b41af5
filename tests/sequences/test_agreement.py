from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from ringfence.policy.builtin import Settings
from ringfence.policy.evaluate import Oracle, addresses
from ringfence.policy.test import MapJudge, compile_world
from ringfence.policy.world import Actor, World, build_world
from ringfence.traffic import Traffic
from tests.sequences.worlds import PARTIES, PODS, TRAFFIC, Json, parsed, policy_sets


def packets(world: World) -> list[tuple[Actor, Actor, Traffic]]:
    """All packets between all actors of a world that addresses can carry."""
    found = []
    for source in world.everyone():
        for destination in world.everyone():
            for traffic in TRAFFIC:
                try:
                    addresses(source, destination, traffic)
                except ValueError:
                    continue
                found.append((source, destination, traffic))
    return found


def assert_judges_agree(documents: list[Json], chosen: Settings) -> None:
    world = build_world(parsed([*PODS, *documents]), PARTIES, chosen)
    oracle, compiled = Oracle(world), MapJudge(compile_world(world))
    for packet in packets(world):
        assert oracle.judge(*packet) == compiled.judge(*packet), packet


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policy_sets())
def test_the_map_decides_by_the_same_rules_as_the_book(documents: list[Json]) -> None:
    """For every packet of a world, the compiled entries give the oracle's verdict, rule and tied rules."""
    assert_judges_agree(documents, Settings())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policy_sets(2))
def test_settings_change_both_judges_alike(documents: list[Json]) -> None:
    """Enforcement always and localhost always are rules to both judges."""
    assert_judges_agree(documents, Settings(allow_localhost="always", enforcement="always"))
