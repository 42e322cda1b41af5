"""One direction of a question: who is judged, against whom, what the rules say, and what stands before a rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ringfence.abi import Direction, Tier, Verdict
from ringfence.identity.prefixes import Address
from ringfence.policy.evaluate import Answer, Oracle, addresses, answers
from ringfence.policy.explanation.fault import Cost, Fault, Kind
from ringfence.policy.explanation.peering import Peer
from ringfence.policy.explanation.selecting import spared
from ringfence.policy.rule import Rule
from ringfence.policy.world import Actor
from ringfence.selector import Selector
from ringfence.traffic import Traffic
from ringfence.verdict import Decision


@dataclass(frozen=True)
class Side:
    """A direction as it was judged, by itself. `address` is the subject's; `rules` are those that select it."""

    direction: Direction
    subject: Actor
    address: Address
    peer: Peer
    traffic: Traffic
    rules: tuple[Rule, ...]
    answers: tuple[Answer, ...]
    decision: Decision

    @property
    def name(self) -> str:
        return self.direction.name.lower()

    @property
    def told(self) -> str:
        """`ingress of shop/backend`."""
        return f"{self.name} of {self.subject.name}"

    @property
    def destination(self) -> Actor:
        """Whose ports are spoken of."""
        return self.peer.actor if self.direction == Direction.EGRESS else self.subject

    @property
    def denied(self) -> bool:
        return self.decision.verdict == Verdict.DENY

    @property
    def isolated(self) -> bool:
        """Whether it is denied because no rule allows it, and not by a rule that denies."""
        return self.denied and self.decision.rule not in {answer.rule.text for answer in self.answers}

    @cached_property
    def isolating(self) -> tuple[Rule, ...]:
        return tuple(sorted((rule for rule in self.rules if rule.default_deny), key=lambda rule: rule.sequence))

    @cached_property
    def matching(self) -> tuple[Rule, ...]:
        """The rules that speak of the packet, in the order in which they are asked."""
        found = dict.fromkeys(answer.rule for answer in self.answers)
        return tuple(sorted(found, key=lambda rule: (rule.tier, -rule.precedence, rule.sequence)))

    @cached_property
    def allowing(self) -> tuple[Rule, ...]:
        """The rules that would have allowed it alone: no deny or pass stands before them."""
        return tuple(rule for rule in self.matching if rule.verdict == Verdict.ALLOW and self.before(rule) is None)

    @cached_property
    def _standing(self) -> dict[Tier, Rule]:
        """For each tier the rule that is asked first of those that do not allow."""
        found: dict[Tier, Rule] = {}
        for rule in self.matching:
            if rule.verdict != Verdict.ALLOW:
                found.setdefault(rule.tier, rule)
        return found

    def before(self, rule: Rule) -> Fault | None:
        """What would decide before a rule that allows, if that rule spoke of the packet."""
        for tier in Tier:
            first = self._standing.get(tier)
            if tier == rule.tier:
                return _outranked(first, rule, self) if first and _rank(first) > _rank(rule) else None
            if first and first.verdict != Verdict.PASS:
                return _outranked(first, rule, self)
            if tier == Tier.NORMAL and self.isolating:
                text = f"{self.told} is isolated by {where(self.isolating[0])} before the Baseline tier is asked"
                return Fault(Kind.OUTRANKED, Cost.OUTRANKED, text)
        return None


def look(oracle: Oracle, direction: Direction, source: Actor, destination: Actor, traffic: Traffic) -> Side:
    """Judge one direction by itself. Raises ValueError where the ends have no addresses in common."""
    from_address, to_address = addresses(source, destination, traffic)
    egress = direction == Direction.EGRESS
    subject, address = (source, from_address) if egress else (destination, to_address)
    peer = Peer(destination, to_address) if egress else Peer(source, from_address)
    rules = tuple(oracle.selecting(direction, subject))
    given = tuple(each for rule in rules for each in answers(rule, peer.actor, peer.address, traffic, destination))
    decision = oracle.decide(direction, source, destination, traffic)
    return Side(direction, subject, address, peer, traffic, rules, given, decision)


def where(rule: Rule) -> str:
    """A rule by its place, or by its policy where that has none."""
    return str(rule.origin) or rule.place


def named(rule: Rule) -> str:
    """A rule by its policy and place: `CiliumNetworkPolicy bank/lockdown, sec.yaml:7`."""
    kind, namespace, name = rule.policy.split("/")
    path = f"{namespace}/{name}" if namespace else name
    return f"{kind} {path}, {rule.origin if rule.origin.file else 'built in'}"


def _rank(rule: Rule) -> tuple[int, int, int]:
    """What is compared in a tier before anything of the packet counts: the higher is asked first."""
    return (-rule.priority, -rule.order, (Verdict.PASS, Verdict.ALLOW, Verdict.DENY).index(rule.verdict))


def _outranked(first: Rule, rule: Rule, side: Side) -> Fault:
    verb = first.verdict.name.lower()
    tier = first.tier.name.capitalize()
    if first.tier != rule.tier:
        text = f"a {verb} of the {tier} tier comes before it: {named(first)}"
    elif first.priority != rule.priority:
        text = f"a {verb} comes before it by priority ({first.priority} before {rule.priority}): {named(first)}"
    elif first.order != rule.order:
        text = f"a {verb} comes before it, for the first rule that matches decides: {named(first)}"
    else:
        text = f"a {verb} wins over what is allowed: {named(first)}"
    return Fault(Kind.OUTRANKED, Cost.OUTRANKED, text + by_absence(first, side))


def by_absence(rule: Rule, side: Side) -> str:
    """Whom a rule that matched spares, for who expected to be spared; nothing for most rules."""
    ends: list[tuple[Actor, Iterable[Selector]]] = [(side.subject, (rule.subject,))]
    if side.peer.is_workload:
        ends.insert(0, (side.peer.actor, rule.peers.selectors))
    for actor, selectors in ends:
        for selector in selectors:
            told = spared(selector, actor.labels, actor.name) if selector.matches(actor.labels) else ""
            if told:
                return f"; {told}"
    return ""
