from __future__ import annotations

from dataclasses import replace
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.abi import Direction, Tier, Verdict
from ringfence.policy.evaluate import Oracle
from ringfence.policy.explanation.explain import Explainer, Question
from ringfence.policy.explanation.fault import Fix, Kind
from ringfence.policy.explanation.misses import Miss
from ringfence.policy.explanation.selecting import mended
from ringfence.policy.rule import BUILT_IN, NOBODY, Policy, Rule
from ringfence.policy.world import Actor, World
from ringfence.selector import Selector
from tests.generated.judging import Packet, can_travel, packets, world_of
from tests.generated.pieces import Json
from tests.generated.worlds import worlds

#: About one packet in so many is asked of each world.
ONE_IN: Final = 60
LEAST_MENDED: Final = 10
SLOW: Final = [HealthCheck.too_slow, HealthCheck.data_too_large]
_EDITED: Final = {Kind.LABEL, Kind.NAMESPACE, Kind.PORT, Kind.PROTOCOL}


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(worlds(), st.integers(0, 1000))
def test_an_explanation_has_the_verdict_and_rule_of_the_book(documents: list[Json], seed: int) -> None:
    """Whatever is explained, the verdict is the oracle's, and so is the rule of each direction that it judges."""
    world = world_of(documents)
    oracle, explainer = Oracle(world), Explainer(world)
    for packet in packets(world, ONE_IN, seed):
        found, expected = explainer.explain(Question(*packet)), oracle.judge(*packet)
        assert expected == found.judgement
        counting = [seen.decision for seen in found.chain if seen.counts]
        assert list(expected.decisions) == counting


def test_a_single_fault_is_all_that_is_wrong_with_a_rule() -> None:
    """Asked with the one thing set right that a near miss names, its rule allows what it did not allow before."""
    mended_misses = 0

    @settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
    @given(worlds(), st.integers(0, 1000))
    def in_any_world(documents: list[Json], seed: int) -> None:
        nonlocal mended_misses
        world = world_of(documents)
        explainer = Explainer(world)
        for packet in packets(world, ONE_IN, seed):
            for miss in explainer.explain(Question(*packet), most=20).near_misses:
                mended_misses += _holds(world, packet, miss)

    in_any_world()
    assert mended_misses >= LEAST_MENDED


def _holds(world: World, packet: Packet, miss: Miss) -> bool:
    """Whether a miss has a single fault that can be mended in the question; AssertionError if that is not all."""
    fix = miss.faults[0].fix
    if len(miss.faults) > 1 or miss.faults[0].kind not in _EDITED or fix is None or miss.written is None:
        return False
    better = _mended(packet, miss, fix)
    if not can_travel(*better):
        return False
    assert Verdict.DENY == _by_rule(world, miss.written, packet, miss.direction)
    assert Verdict.ALLOW == _by_rule(world, miss.written, better, miss.direction)
    return True


def _mended(packet: Packet, miss: Miss, fix: Fix) -> Packet:
    """The packet with one thing changed."""
    source, destination, traffic = packet
    if fix.traffic is not None:
        return source, destination, fix.traffic
    of_source = (fix.end == "subject") == (miss.direction == Direction.EGRESS)
    if of_source:
        return _relabelled(source, fix), destination, traffic
    return source, _relabelled(destination, fix), traffic


def _relabelled(actor: Actor, fix: Fix) -> Actor:
    return replace(actor, labels=mended(actor.labels, fix))


def _by_rule(world: World, rule: Rule, packet: Packet, direction: Direction) -> Verdict:
    """What the oracle says of a packet in a direction where everybody is isolated and this rule is the only one."""
    # A Baseline rule is not asked where something isolates: alone it is put where it is.
    rule = replace(rule, tier=Tier.NORMAL) if rule.tier == Tier.BASELINE else rule
    isolating = replace(
        rule, index=rule.index + 1, subject=Selector(), peers=NOBODY, default_deny=True, tier=Tier.NORMAL
    )
    policy = Policy("Test", "", "alone", (rule, isolating), BUILT_IN)
    oracle = Oracle(replace(world, policies=(policy,)))
    return oracle.decide(direction, *packet).verdict
