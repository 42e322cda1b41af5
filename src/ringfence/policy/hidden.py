"""Rules that can never decide: wherever one speaks of a packet, others decide it.

Asked of the oracle, over the classes of packets between all workloads there are and one made-up workload for every
selector, with no labels but those that it asks for: what is hidden for that one is hidden for whoever comes to be
selected, unless whoever hides it asks for the absence of a label. A rule that only shares its decisions does decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ringfence.abi import Direction, Verdict
from ringfence.identity.ipcache import Known
from ringfence.identity.prefixes import Address, Network
from ringfence.labels import Labels
from ringfence.policy.classes import traffic_classes, witness
from ringfence.policy.evaluate import Oracle, peer_meant, traffic_meant
from ringfence.policy.parse import Parsed
from ringfence.policy.parties import PeerClasses, Placed, entities, place, selectors, subjects
from ringfence.policy.rule import Peers, Rule, is_host
from ringfence.policy.verify import carries, spans_of
from ringfence.policy.world import World, build_world
from ringfence.selector import Selector
from ringfence.traffic import Traffic
from ringfence.verdict import Decision, RuleText


class _Nowhere:
    """An ipcache that tells nobody apart: the oracle asks none."""

    def items(self) -> Sequence[tuple[Network, Known]]:
        return ()

    def lookup(self, address: Address) -> Known:  # noqa: ARG002 - of all addresses alike
        return Known(0, 0)


def hidden_rules(parsed: Parsed) -> Mapping[Rule, tuple[RuleText, ...]]:
    """The rules that never decide, each with those that decide in its place, the most frequent first."""
    plain = build_world(parsed)
    made_up = filter(None, map(witness, selectors(plain)))
    search = _Search(build_world(parsed, [*entities(), *made_up]))
    search.run()
    return search.hidden()


class _Search:
    def __init__(self, world: World) -> None:
        self._rules = list(world.rules)
        self._places = {rule: place for place, rule in enumerate(self._rules)}
        self._subjects = {rule.subject for rule in self._rules}
        self._selected: dict[Labels, set[Selector]] = {}
        self._oracle = Oracle(world)
        self._placed = place(world, _Nowhere())
        by_labels: dict[Peers, dict[Labels, int]] = {}
        self._peers = {
            version: PeerClasses((each for each in self._placed if each.address.version == version), by_labels)
            for version in (4, 6)
        }
        self._decides: set[Rule] = set()
        self._instead: dict[Rule, Counter[RuleText]] = {}
        self._done: set[tuple[object, ...]] = set()

    def run(self) -> None:
        """Ask about every class once."""
        for subject in subjects(self._placed, self._oracle):
            for direction in Direction:
                rules = self._selecting(direction, subject.actor.labels)
                if not all(rule in self._decides for rule in rules):
                    self._ask_direction(direction, subject, rules)

    def hidden(self) -> dict[Rule, tuple[RuleText, ...]]:
        """The rules that spoke of packets and decided none."""
        found = {rule: counts for rule, counts in self._instead.items() if rule not in self._decides and rule.policy}
        return {rule: tuple(text for text, _ in counts.most_common()) for rule, counts in found.items()}

    def _selecting(self, direction: Direction, labels: Labels) -> list[Rule]:
        """The rules that select a subject. Many share a selector: it is asked once."""
        if labels not in self._selected:
            self._selected[labels] = {selector for selector in self._subjects if selector.matches(labels)}
        selected = self._selected[labels]
        own = [rule for rule in self._rules if rule.for_host == is_host(labels)]
        return [rule for rule in own if rule.direction == direction and rule.subject in selected]

    def _ask_direction(self, direction: Direction, subject: Placed, rules: Sequence[Rule]) -> None:
        peers = self._peers[subject.address.version]
        meant = peers.meant(tuple(self._places[rule] for rule in rules), self._rules)
        groups, first = np.unique(np.stack([meant, peers.ports]), axis=1, return_index=True)
        for group, index in zip(groups.T.tolist(), first.tolist(), strict=True):
            memory = (direction, tuple(rules), subject.ports, subject.address.version, *group)
            if memory not in self._done:
                self._done.add(memory)
                self._ask(direction, subject, peers.placed[index], rules)

    def _ask(self, direction: Direction, subject: Placed, peer: Placed, rules: Sequence[Rule]) -> None:
        meaning = [rule for rule in rules if peer_meant(rule, peer.actor, peer.address)]
        destination = peer if direction == Direction.EGRESS else subject
        for traffic in traffic_classes(spans_of(meaning, destination)):
            if carries(peer.address.version, traffic):
                self._note(direction, subject, peer, traffic, meaning)

    def _note(
        self, direction: Direction, subject: Placed, peer: Placed, traffic: Traffic, meaning: Sequence[Rule]
    ) -> None:
        ends = (subject.as_subject, peer.as_peer)
        source, destination = ends if direction == Direction.EGRESS else (ends[1], ends[0])
        decision = self._oracle.decide(direction, source, destination, traffic)
        speaking = [rule for rule in meaning if traffic_meant(rule, traffic, destination)]
        for rule in speaking:
            if _decides(rule, decision, speaking):
                self._decides.add(rule)
            else:
                self._instead.setdefault(rule, Counter())[decision.rule] += 1


def _decides(rule: Rule, decision: Decision, speaking: Sequence[Rule]) -> bool:
    """Whether a rule is one of those that decided. A pass is named by no decision: it has its way where its tier was
    reached and nothing in it is stronger.
    """
    if rule.verdict != Verdict.PASS:
        return rule.text in decision.tied
    stronger = any(other.tier == rule.tier and other.precedence > rule.precedence for other in speaking)
    return decision.rule.tier >= rule.tier and not stronger
