"""Explanations: a judgement in words, and for a denial what would have had to match.

Of the rules that select the subject and would have allowed, those that miss by one thing only are named, with what they
ask for.
"""

from __future__ import annotations

from ringfence.abi import Direction, Verdict
from ringfence.policy.evaluate import Oracle, addresses, peer_meant, traffic_meant
from ringfence.policy.rule import Rule
from ringfence.policy.world import Actor
from ringfence.traffic import Traffic
from ringfence.verdict import Decision, Judgement

_MOST_MISSES = 5


def explain(oracle: Oracle, source: Actor, destination: Actor, traffic: Traffic, judgement: Judgement) -> list[str]:
    """Lines for people: the decision of each direction, and under a denial the rules that nearly allowed."""
    lines = []
    for decision in judgement.decisions:
        lines.append(str(decision))
        if decision.verdict == Verdict.DENY:
            lines.extend(f"  {miss}" for miss in _near_misses(oracle, source, destination, traffic, decision))
    return lines or ["no workload takes part: nothing is judged"]


def _near_misses(oracle: Oracle, source: Actor, destination: Actor, traffic: Traffic, decision: Decision) -> list[str]:
    egress = decision.direction == Direction.EGRESS
    subject, peer = (source, destination) if egress else (destination, source)
    address = addresses(source, destination, traffic)[1 if egress else 0]
    found = []
    for rule in oracle.selecting(decision.direction, subject):
        if rule.verdict == Verdict.ALLOW:
            means_peer, means_traffic = (
                bool(peer_meant(rule, peer, address)),
                bool(traffic_meant(rule, traffic, destination)),
            )
            if means_peer != means_traffic:
                found.append(_miss(rule, peer.name, traffic, egress=egress, means_peer=means_peer))
    return found[:_MOST_MISSES]


def _miss(rule: Rule, peer: str, traffic: Traffic, *, egress: bool, means_peer: bool) -> str:
    way = "to" if egress else "from"
    if means_peer:
        return f"{rule.place} allows {way} {peer}, but only {', '.join(map(str, (*rule.traffic, *rule.named_ports)))}"
    return f"{rule.place} allows {traffic}, but only {way} {rule.peers}"
