"""Near misses: the rules that would have allowed a denied packet but for one thing, or two, the nearest first.

Every rule that allows in the denied direction is held against the packet: whom it protects, whom it means, what traffic
it covers, and what stands before it. Those with one fault come before those with two; among these the sum of the costs
of their faults decides (`fault.Cost`). What nobody has written (no rule at all, the wrong direction) is ranked among
those with one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ringfence.abi import Direction, Verdict
from ringfence.labels import NAMESPACE_KEY, Labels
from ringfence.policy.evaluate import Oracle, peer_meant, traffic_meant
from ringfence.policy.explanation.carrying import traffic_faults
from ringfence.policy.explanation.fault import Cost, Fault, Faults, Kind, weight
from ringfence.policy.explanation.ignored import ignored_rules
from ringfence.policy.explanation.peering import Peer, count_unmeant, peer_faults
from ringfence.policy.explanation.population import Population
from ringfence.policy.explanation.selecting import MOST, Asking, count_missing, selector_faults
from ringfence.policy.explanation.side import Side, by_absence
from ringfence.policy.rule import NOBODY, Policy, Rule, is_host
from ringfence.selector import Selector
from ringfence.traffic import Protocol
from ringfence.verdict import RuleText

_ICMP_FAMILY: Final[dict[int, int]] = {Protocol.ICMP: 4, Protocol.ICMPV6: 6}


@dataclass(frozen=True, slots=True)
class Miss:
    """A rule that nearly allowed, and what is wrong with it. `written` is None for what no single rule is about."""

    direction: Direction
    rule: RuleText
    faults: Faults
    written: Rule | None = None

    @property
    def text(self) -> str:
        """What is wrong, in one sentence."""
        return "; and ".join(fault.text for fault in self.faults)

    @property
    def order(self) -> tuple[int, int, str, int]:
        return (*weight(self.faults), self.rule.origin, self.rule.index)


def near_misses(oracle: Oracle, policies: Iterable[Policy], side: Side, workloads: Population) -> list[Miss]:
    """The rules that nearly allowed a denied direction, in no order."""
    none: Faults = ()
    for_host = is_host(side.subject.labels)
    written = ((subject, rules) for subject, rules in oracle.by_subject(side.direction))
    own = ((subject, [rule for rule in rules if rule.for_host == for_host]) for subject, rules in written)
    groups = [(subject, rules, none) for subject, rules in own if rules]
    for rule in ignored_rules(policies, side.direction) if not for_host else ():
        kind = side.direction.name.capitalize()
        fault = Fault(Kind.TYPES, Cost.TYPES, f"its policyTypes do not name {kind}, so this rule is not in force")
        groups.append((rule.subject, [rule], (fault,)))
    found = [miss for group in groups for miss in _of_subject(*group, side, workloads)]
    return found + list(_lifted(oracle, side, found))


def _of_subject(
    subject: Selector, rules: list[Rule], already: Faults, side: Side, workloads: Population
) -> Iterator[Miss]:
    """The near misses among the rules of one subject: what is wrong with that is found out once."""
    faults = _subject_faults(subject, rules[0].policy.split("/")[1], side, workloads)
    if faults is None:
        return
    for rule in rules:
        found = (
            _faults(rule, side, (*already, *faults)) if rule.verdict == Verdict.ALLOW and _is_written(rule) else None
        )
        if found:
            yield Miss(side.direction, rule.text, found, rule)


def _faults(rule: Rule, side: Side, faults: Faults) -> Faults | None:
    """All that is wrong with a rule, with as little work as can be: most rules of a world are far away."""
    covered = bool(traffic_meant(rule, side.traffic, side.destination))
    if len(faults) + (not covered) > MOST:
        return None
    meant = bool(peer_meant(rule, side.peer.actor, side.peer.address))
    if not meant and len(faults) + (not covered) + count_unmeant(rule, side.peer) > MOST:
        return None
    peer = () if meant else peer_faults(rule, side.peer)
    traffic = () if covered else traffic_faults(rule, side.traffic, side.destination)
    if peer is None or traffic is None:
        return None
    peer = _in_the_other_family(rule, side.peer, traffic) if meant and traffic else peer
    if peer is None:
        return None
    before = side.before(rule)
    faults = (*faults, *peer, *traffic, *((before,) if before else ()))
    return faults if len(faults) <= MOST else None


def _in_the_other_family(rule: Rule, peer: Peer, traffic: Faults) -> Faults | None:
    """ICMP of the other family, were it asked for, goes to another address of the peer, which the rule has to mean."""
    wanted = traffic[0].fix.traffic if traffic[0].fix else None
    version = _ICMP_FAMILY.get(wanted.protocol) if wanted else None
    address = peer.actor.address(version) if version else None
    if address is None or peer_meant(rule, peer.actor, address):
        return ()
    return peer_faults(rule, replace(peer, address=address))


def _is_written(rule: Rule) -> bool:
    """Whether a person wrote a rule, of somebody: that the node reaches its pods comes with every NetworkPolicy."""
    granted = not rule.default_deny and rule.policy.startswith("NetworkPolicy/")
    return bool(rule.origin.file) and rule.peers != NOBODY and not granted


def _subject_faults(subject: Selector, own: str, side: Side, workloads: Population) -> Faults | None:
    """What keeps rules from selecting the subject; None where they were hardly meant for it.

    A selector that selects others was meant for those, unless a slip of the pen is all that keeps it from this one.
    """
    labels = side.subject.labels
    missing = count_missing(subject, labels, 1)
    if not missing:
        return ()
    if missing > 1 or side.subject.reserved is not None or subject.mentions_source("reserved"):
        return None
    found = selector_faults(subject, labels, Asking(side.subject.name, "subject", own))
    if found is None or all(fault.cost <= Cost.KEY for fault in found):
        return found
    return found if _is_near(subject, labels, found) and workloads.has_none(subject) else None


def _is_near(selector: Selector, labels: Labels, faults: Faults) -> bool:
    """Whether some of the labels asked for are there, or nearly."""
    own = [each for each in selector.requirements if not each.operator.negative and each.key != NAMESPACE_KEY]
    return any(each.matches(labels) for each in own) or any(fault.cost <= Cost.KEY for fault in faults)


def _lifted(oracle: Oracle, side: Side, found: list[Miss]) -> Iterator[Miss]:
    """The deny itself, where without it nothing would have been in the way."""
    if side.isolated or any(len(miss.faults) == 1 and miss.faults[0].kind is Kind.OUTRANKED for miss in found):
        return
    egress = side.direction == Direction.EGRESS
    ends = (side.subject, side.peer.actor) if egress else (side.peer.actor, side.subject)
    denying = [rule for rule in side.matching if rule.verdict == Verdict.DENY]
    without = oracle.decide(side.direction, *ends, side.traffic, denying)
    if without.verdict == Verdict.ALLOW:
        first = denying[0]
        more = f" (and {len(denying) - 1} more that deny it)" if len(denying) > 1 else ""
        text = f"only this deny is in the way{more}: without it, {side.told} is {without.rule.text}"
        yield Miss(side.direction, first.text, (Fault(Kind.OUTRANKED, Cost.OUTRANKED, text + by_absence(first, side)),))
