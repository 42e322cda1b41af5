"""Reachability of generated policy sets, held against the evaluator asked packet by packet."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.identity.prefixes import Network, host_network
from ringfence.policy.classes import longest
from ringfence.policy.evaluate import Oracle, addresses
from ringfence.policy.naming import outside_name
from ringfence.policy.ports import EVERYTHING
from ringfence.policy.reach import Reach, reach
from ringfence.policy.world import Actor
from ringfence.traffic import Traffic
from tests.generated.judging import packets, world_of
from tests.generated.pieces import Json
from tests.generated.worlds import parsed, worlds

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(worlds(), st.integers(0, 1000))
def test_what_gets_through_is_a_path_and_nothing_else(documents: list[Json], seed: int) -> None:
    """A packet that passes is on a path between the groups of its ends; one that is denied is on none."""
    world = world_of(documents)
    found, judge = reach(parsed(documents)), Oracle(world)
    prefixes = {prefix for rule in world.rules for prefix in rule.prefixes}
    for source, destination, traffic in packets(world, 10, seed):
        ends = addresses(source, destination, traffic)
        pair = place(found, source, ends[0].version, prefixes), place(found, destination, ends[1].version, prefixes)
        if pair[0] is None or pair[1] is None or (pair[0], pair[1]) not in found.asked:
            continue
        allowed = judge.judge(source, destination, traffic).allowed
        told = f"{source.name} -> {destination.name} {traffic} {found.to_dict()}"
        if allowed:
            assert leads(found, (pair[0], pair[1]), traffic), told
        elif any(map(of_one_family, (source, destination), (found.nodes[at].name for at in (pair[0], pair[1])))):
            # Of two with both families, as the world has them, it may pass in the other one.
            assert not leads(found, (pair[0], pair[1]), traffic), told


def of_one_family(actor: Actor, group: str) -> bool:
    return len(actor.addresses) == 1 and group != "world"


def place(found: Reach, actor: Actor, version: int, prefixes: set[Network]) -> int | None:
    """The group of an end; None for one that reachability is not told of."""
    if not actor.outside:
        return next((at for at, node in enumerate(found.nodes) if actor.name in node.workloads), None)
    [address] = [each for each in actor.addresses if each.version == version][:1]
    around = longest(host_network(address), prefixes)
    name = outside_name(around if around and around.prefixlen else None, prefixes)
    return next((at for at, node in enumerate(found.nodes) if node.kind == "outside" and node.name == name), None)


def leads(found: Reach, pair: tuple[int, int], traffic: Traffic) -> bool:
    return any(
        (path.source, path.destination) == pair
        and any(
            span == EVERYTHING or (span.protocol == traffic.protocol and span.first <= traffic.port <= span.last)
            for span in path.ports
        )
        for path in found.paths
    )
