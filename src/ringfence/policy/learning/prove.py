"""The proof of what was learned, on the text that is handed out, by the evaluator and not by the learner.

Sufficient: the written policies, read back, allow every connection in both directions. Minimal: without any one rule,
any one peer of a rule, or any one kind of its traffic, a connection that is named is denied; the isolation of the rule
stays, else leaving out the only rule of a workload would open it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ringfence.abi import Direction, Verdict
from ringfence.identity.prefixes import Network
from ringfence.policy.builtin import Settings
from ringfence.policy.evaluate import Oracle
from ringfence.policy.learning.draft import Draft, Item
from ringfence.policy.learning.grants import Grant, Need, Peer
from ringfence.policy.learning.narrow import Narrowed
from ringfence.policy.learning.seen import Connection, EndKind
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import BUILT_IN, NOBODY, Peers, Policy, Rule
from ringfence.policy.world import DEFAULT_SETTINGS, World
from ringfence.verdict import Judgement

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
        self._oracle = Oracle(World(tuple(policies), {}, {}, settings))
        self.narrow = Narrowed()

    def denied(self, connections: Iterable[Connection]) -> Iterator[Denied]:
        """The connections that the policies deny, with the verdict."""
        for connection in connections:
            source, destination = connection.source, connection.destination
            rules = [
                *self._speaking(Need(connection, Direction.EGRESS)),
                *self._speaking(Need(connection, Direction.INGRESS)),
            ]
            judgement = _oracle(rules).judge(source.actor, destination.actor, connection.traffic)
            if judgement.verdict is Verdict.DENY:
                yield Denied(connection, judgement)

    def needs(self, need: Need, rule: Rule, reduced: Rule) -> bool:
        """Whether a need is denied once a rule says less."""
        whole = (rule.policy, rule.index)
        rules = [reduced if (each.policy, each.index) == whole else each for each in self._speaking(need)]
        connection = need.connection
        decision = _oracle(rules).decide(
            need.direction, connection.source.actor, connection.destination.actor, connection.traffic
        )
        return decision.verdict is Verdict.DENY

    def _speaking(self, need: Need) -> list[Rule]:
        """The rules that select who is judged, each with the prefixes alone that its peer's address lies in."""
        if need.subject.kind is not EndKind.WORKLOAD:
            return []
        selecting = self._oracle.selecting(need.direction, need.subject.actor)
        return [self.narrow(rule, need.peer.address) for rule in selecting]


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
        for told, reduced, need in _less(rule, item, witness, judge.narrow):
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


def _less(rule: Rule, item: Item, witness: Mapping[Grant, Need], narrow: Narrowed) -> Iterator[tuple[str, Rule, Need]]:
    """A rule with less in it in every way, each with a need that it then should not serve."""
    yield "the rule", replace(rule, peers=NOBODY), witness[item.grants()[0]]
    if len(item.peers) > 1:
        for at, peer in enumerate(item.peers):
            need = witness[Grant(item.subject, item.direction, peer, item.traffic[0])]
            around = narrow(rule, need.peer.address)
            yield f"peer {peer}", replace(around, peers=_without(around.peers, at, peer)), need
    if len(item.traffic) > 1:
        for traffic in item.traffic:
            need = witness[Grant(item.subject, item.direction, item.peers[0], traffic)]
            around = narrow(rule, need.peer.address)
            rest = tuple(ports for ports in rule.traffic if (ports.protocol, ports.first) != traffic)
            yield f"port {traffic}", replace(around, traffic=rest), need


def _without(peers: Peers, at: int, peer: Peer) -> Peers:
    """Peers without the one in a place of an item: selectors stand there first, in the order of the rule."""
    if not isinstance(peer, Network):
        return replace(peers, selectors=(*peers.selectors[:at], *peers.selectors[at + 1 :]))
    outside, addresses = (
        tuple(block for block in blocks if block.prefix != peer) for blocks in (peers.outside, peers.addresses)
    )
    return replace(peers, outside=outside, addresses=addresses)


def _oracle(rules: Iterable[Rule]) -> Oracle:
    """The evaluator of some rules alone."""
    return Oracle(World((Policy("Learned", "", "learned", tuple(rules), BUILT_IN),), {}, {}))
