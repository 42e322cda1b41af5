"""What nobody has written: a rule that is missing, one written for the other way round, and the way of replies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ringfence.abi import Direction, Verdict
from ringfence.policy.evaluate import Oracle
from ringfence.policy.explanation.fault import Cost, Fault, Kind
from ringfence.policy.explanation.misses import Miss
from ringfence.policy.explanation.side import Side, look, where
from ringfence.policy.rule import NOBODY, Policy, Rule
from ringfence.policy.world import Actor
from ringfence.traffic import WITH_PORTS, Protocol, Traffic
from ringfence.verdict import RuleText

_DNS: Final = 53
#: Where Linux takes the ports of who opens a connection from (net.ipv4.ip_local_port_range).
_FIRST_EPHEMERAL: Final = 32768


def missing_rule(side: Side, other: Side | None, policies: Mapping[str, Policy]) -> Iterator[Miss]:
    """That a direction is isolated and no rule of it speaks of the packet."""
    if not side.isolated:
        return
    isolating = side.isolating[0]
    allowed = other.allowing[0] if other and not other.denied and other.allowing else None
    text = f"{side.told} is isolated by {where(isolating)}{_how(side, isolating, policies)}"
    text += f", and no rule allows it {_what(side)}"
    if allowed is not None and other is not None:
        text = f"allowed by {other.told} ({where(allowed)}); {text}"
    expected = allowed is not None or side.traffic.port == _DNS
    cost = Cost.NO_RULE if expected else Cost.NOTHING_INTENDED
    if _by_default_types(side, isolating, policies):
        cost = Cost.NEAR
    elif _names_types_only(side, isolating, policies):
        cost = Cost.WHO
    yield Miss(side.direction, isolating.isolation, (Fault(Kind.NO_RULE, cost, text),))


def _what(side: Side) -> str:
    way = f"to {side.peer.actor.name}" if side.direction == Direction.EGRESS else f"from {side.peer.actor.name}"
    if side.traffic.port == _DNS and side.traffic.protocol in WITH_PORTS:
        return f"DNS, {side.traffic} {way}"
    return f"{side.traffic} {way}"


def _how(side: Side, rule: Rule, policies: Mapping[str, Policy]) -> str:
    """How a policy comes to isolate, where that surprises."""
    policy = policies.get(rule.policy)
    if policy is None:
        return ""
    kind = side.name.capitalize()
    if _by_default_types(side, rule, policies):
        return f", which has no policyTypes and so isolates {kind} too"
    own = [each for each in policy.rules if each.direction == side.direction and each.peers != NOBODY]
    empty = all(each.key == "io.kubernetes.pod.namespace" for each in rule.subject.requirements)
    whom = f"every pod of namespace {policy.namespace}" if policy.namespace else "every workload"
    whom = "every node" if rule.for_host else whom
    if empty:
        return f", whose empty selector means {whom}"
    if not own or _names_types_only(side, rule, policies):
        written = "whose policyTypes name" if policy.kind == "NetworkPolicy" else "which isolates"
        return f", {written} {kind} but which has no {side.name} rule"
    return ""


def _names_types_only(side: Side, rule: Rule, policies: Mapping[str, Policy]) -> bool:
    """Whether a NetworkPolicy that has rules isolates a direction in which it has none."""
    policy = policies.get(rule.policy)
    if policy is None or policy.kind != "NetworkPolicy" or rule.peers != NOBODY:
        return False
    return any(each.direction != side.direction and each.default_deny and each.peers != NOBODY for each in policy.rules)


def _by_default_types(side: Side, rule: Rule, policies: Mapping[str, Policy]) -> bool:
    """Whether a NetworkPolicy isolates ingress only because it names no types, and speaks of egress alone."""
    policy = policies.get(rule.policy)
    if policy is None or policy.kind != "NetworkPolicy" or side.direction != Direction.INGRESS:
        return False
    egress = any(each.direction == Direction.EGRESS for each in policy.rules)
    return egress and rule.peers == NOBODY and "policyTypes" not in policy.text


def other_way(oracle: Oracle, side: Side, source: Actor, destination: Actor, source_port: int | None) -> Iterator[Miss]:
    """Rules that allow the connection of which this would be the reply, or the same the other way round."""
    protocol, port = side.traffic
    if protocol not in WITH_PORTS:
        return
    found = _reply(oracle, source, destination, side.traffic, source_port)
    if found is not None:
        rule, traffic = found
        text = (
            f"replies need no rule: {rule.origin} allows {destination.name} -> {source.name} {traffic}, and what comes"
            f" back passes with it; {port}/{Protocol(protocol).name} to {destination.name} would be a new connection"
        )
        yield Miss(side.direction, rule, (Fault(Kind.REPLY, Cost.REPLY, text),))
        return
    reverse = _allowed_by(oracle, destination, source, side.traffic)
    if reverse is not None:
        text = (
            f"{reverse.origin} allows the other way round, {destination.name} -> {source.name} {side.traffic}: who"
            " opens the connection counts, and its replies need no rule"
        )
        yield Miss(side.direction, reverse, (Fault(Kind.REVERSED, Cost.REVERSED, text),))


def _reply(
    oracle: Oracle, source: Actor, destination: Actor, traffic: Traffic, source_port: int | None
) -> tuple[RuleText, Traffic] | None:
    """The rule and traffic of the connection that a packet may be the reply of."""
    if source_port is None and traffic.port < _FIRST_EPHEMERAL:
        return None
    asked = [source_port] if source_port else _ports_of(oracle, source, destination, traffic.protocol)
    for port in asked:
        opened = Traffic(traffic.protocol, port)
        rule = _allowed_by(oracle, destination, source, opened)
        if rule is not None:
            return rule, opened
    return None


def _ports_of(oracle: Oracle, server: Actor, client: Actor, protocol: int) -> list[int]:
    """The ports of a server that rules of either end name."""
    rules = [*oracle.selecting(Direction.INGRESS, server), *oracle.selecting(Direction.EGRESS, client)]
    found = {ports.first for rule in rules for ports in rule.traffic if ports.protocol == protocol and ports.first}
    found |= {port.port for port in server.ports if Protocol[port.protocol] == protocol}
    return sorted(found)


def _allowed_by(oracle: Oracle, source: Actor, destination: Actor, traffic: Traffic) -> RuleText | None:
    """The rule that a policy wrote and that allows a connection; None if none does, or only a default."""
    if not oracle.judge(source, destination, traffic).allowed:
        return None
    for direction, ends in ((Direction.INGRESS, (destination, source)), (Direction.EGRESS, (source, destination))):
        side = look(oracle, direction, source, destination, traffic) if oracle.judges(*ends) else None
        if side and side.decision.verdict == Verdict.ALLOW and side.decision.rule.origin:
            return side.decision.rule
    return None
