"""The proof of what was learned, on the text that is handed out, by the evaluator and not by the learner.

Sufficient: the written policies, read back, allow every connection in both directions. Minimal: without any one rule,
any one peer of a rule, or any one kind of its traffic, a connection that is named is denied; the isolation of the rule
stays, else leaving out the only rule of a workload would open it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ringfence.abi import Verdict
from ringfence.policy.builtin import Settings
from ringfence.policy.evaluate import Oracle
from ringfence.policy.learning.draft import Draft, Item
from ringfence.policy.learning.grants import Grant, Need
from ringfence.policy.learning.seen import Connection
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import NOBODY, Peers, Policy, Rule
from ringfence.policy.world import DEFAULT_SETTINGS, World
from ringfence.verdict import Judgement

Part = TypeVar("Part")
#: The name under which the text that is proven is read back.
LEARNED = "<learned>"


@dataclass(frozen=True, slots=True)
class Denied:
    """A connection that policies do not allow, and what they say of it."""

    connection: Connection
    judgement: Judgement

    def __str__(self) -> str:
        return f"{self.connection}: {self.judgement.ingress or self.judgement.egress}"


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found: connections that are denied, and parts of rules that no connection needs. Both are empty if the
    proof holds. `connections` and `parts` are how many were looked at.
    """

    connections: int
    parts: int
    denied: tuple[Denied, ...]
    needless: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.denied and not self.needless

    def to_dict(self) -> dict[str, Any]:
        return {
            "sufficient": not self.denied,
            "minimal": not self.needless,
            "connections": self.connections,
            "parts": self.parts,
            "denied": [str(each) for each in self.denied],
            "needless": list(self.needless),
        }


class Judge:
    """Judges connections by some policies and nothing else but the settings."""

    def __init__(self, policies: Sequence[Policy], settings: Settings = DEFAULT_SETTINGS) -> None:
        self.oracle = Oracle(World(tuple(policies), {}, {}, settings))
        self._settings = settings

    def denied(self, connections: Iterable[Connection]) -> Iterator[Denied]:
        """The connections that the policies deny, with the verdict."""
        for connection in connections:
            judgement = self.oracle.judge(connection.source.actor, connection.destination.actor, connection.traffic)
            if judgement.verdict is Verdict.DENY:
                yield Denied(connection, judgement)

    def needs(self, need: Need, rule: Rule, reduced: Rule) -> bool:
        """Whether a need is denied once a rule says less."""
        rules = tuple(
            reduced if each is rule else each for each in self.oracle.selecting(need.direction, need.subject.actor)
        )
        policy = Policy("Reduced", "", "reduced", rules, rule.origin)
        never = replace(self._settings, enforcement="default")
        oracle = Oracle(World((policy,), {}, {}, never))
        decision = oracle.decide(
            need.direction, need.connection.source.actor, need.connection.destination.actor, need.connection.traffic
        )
        return decision.verdict is Verdict.DENY


def prove(
    text: str,
    written: Sequence[Draft],
    connections: Iterable[Connection],
    witness: Mapping[Grant, Need],
    settings: Settings = DEFAULT_SETTINGS,
) -> Proof:
    """Prove a text that was written of some drafts. `witness` names a need for every grant."""
    policies = {policy.uid: policy for policy in parse_documents([Source(LEARNED, text)]).policies} if written else {}
    judge = Judge(list(policies.values()), settings)
    all_connections = list(connections)
    denied = tuple(judge.denied(all_connections))
    needless: list[str] = []
    parts = 0
    for rule, item in _rules(policies, written):
        for told, reduced, need in _less(rule, item, witness):
            parts += 1
            if not judge.needs(need, rule, reduced):
                needless.append(f"{rule.place}: {told}")
    return Proof(len(all_connections), parts, denied, tuple(needless))


def _rules(policies: Mapping[str, Policy], written: Iterable[Draft]) -> Iterator[tuple[Rule, Item]]:
    """The rules that were read back, each with the item that it was written of."""
    for draft in written:
        for direction, items in draft.items.items():
            read = [rule for rule in policies[draft.uid].rules if rule.direction is direction]
            # Isolation without items, and the node that NetworkPolicy lets in, come after those that are written.
            yield from zip(read, items, strict=False)


def _less(rule: Rule, item: Item, witness: Mapping[Grant, Need]) -> Iterator[tuple[str, Rule, Need]]:
    """A rule with less in it in every way, each with a need that it then should not serve."""
    yield "the rule", replace(rule, peers=NOBODY), witness[item.grants()[0]]
    if len(item.peers) > 1:
        for at, peer in enumerate(item.peers):
            yield f"peer {peer}", replace(rule, peers=_without(rule.peers, at)), witness[item.grants(at)[0]]
    if len(item.traffic) > 1:
        for to, traffic in enumerate(item.traffic):
            rest = tuple(ports for ports in rule.traffic if (ports.protocol, ports.first) != traffic)
            yield f"port {traffic}", replace(rule, traffic=rest), witness[item.grants(None, to)[0]]


def _without(peers: Peers, at: int) -> Peers:
    """Peers without the one in a place, as an item counts them: selectors first, then prefixes."""
    selectors = len(peers.selectors)
    if at < selectors:
        return replace(peers, selectors=_but(peers.selectors, at))
    at -= selectors
    return replace(peers, outside=_but(peers.outside, at), addresses=_but(peers.addresses, at))


def _but(parts: tuple[Part, ...], at: int) -> tuple[Part, ...]:
    return (*parts[:at], *parts[at + 1 :])
