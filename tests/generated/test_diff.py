"""Differences of generated policy sets, held against both sets asked packet by packet."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.identity.prefixes import Address, Network, host_network
from ringfence.policy.classes import longest
from ringfence.policy.diff import Change, Group, difference
from ringfence.policy.evaluate import Oracle, addresses
from ringfence.policy.ports import EVERYTHING
from ringfence.policy.world import Actor
from ringfence.traffic import Traffic
from tests.generated.judging import packets, world_of
from tests.generated.pieces import Json
from tests.generated.worlds import parsed, worlds

PEOPLE = ("Namespace", "Pod", "Node")
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
Ends = list[tuple[Actor, Address]]


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(worlds(), worlds(), st.integers(0, 1000))
def test_what_is_decided_otherwise_is_in_the_difference_and_nothing_else(
    documents: list[Json], others: list[Json], seed: int
) -> None:
    """A packet on which the two sets differ is covered by a change of that kind; one on which they agree by none."""
    people = [each for each in documents if each["kind"] in PEOPLE]
    policies = [each for each in others if each["kind"] not in PEOPLE]
    old, new = world_of(documents), world_of([*people, *policies])
    changes = difference(parsed(documents), parsed([*people, *policies]))
    judges = Oracle(old), Oracle(new)
    rules = [*old.rules, *new.rules]
    names = {port.name for rule in rules for port in rule.named_ports}
    prefixes = {prefix for rule in rules for prefix in rule.prefixes}
    for source, destination, traffic in packets(new, 20, seed):
        before, after = (judge.judge(source, destination, traffic).allowed for judge in judges)
        ends = list(zip((source, destination), addresses(source, destination, traffic), strict=True))
        said = {change.opened for change in changes if covers(change, ends, traffic, names, prefixes)}
        if before != after:
            assert after in said, f"{source.name} -> {destination.name} {traffic} is not in {changes}"
        elif len(source.addresses) == 1 or len(destination.addresses) == 1:
            # Of two with both families the difference may be in the other one.
            assert not said, f"{source.name} -> {destination.name} {traffic} is in {changes}"


def covers(change: Change, ends: Ends, traffic: Traffic, names: set[str], prefixes: set[Network]) -> bool:
    sides = zip(ends, (change.sources, change.destinations), strict=True)
    return is_of(change, traffic) and all(
        any(is_in(*end, group, names, prefixes) for group in groups) for end, groups in sides
    )


def is_of(change: Change, traffic: Traffic) -> bool:
    return any(
        each == EVERYTHING or (each.protocol == traffic.protocol and each.first <= traffic.port <= each.last)
        for each in change.ports
    )


def is_in(actor: Actor, address: Address, group: Group, names: set[str], prefixes: set[Network]) -> bool:
    if actor.outside:
        return not group.labels and group.prefix == str(longest(host_network(address), prefixes) or "")
    ports = {f"{port.name}={port.port}/{port.protocol}" for port in actor.ports if port.name in names}
    return group.labels == tuple(actor.labels.texts()) and set(group.ports) == ports
