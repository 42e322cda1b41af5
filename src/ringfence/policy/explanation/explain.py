"""Explaining: from a world and a question to an answer that says why, and for a denial what nearly made it otherwise.

The verdict is the oracle's. Both directions are looked at, also where the first denies, because whoever repairs one of
them wants to know of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.abi import Direction, Verdict
from ringfence.errors import BadInput
from ringfence.policy.evaluate import Oracle, addresses
from ringfence.policy.explanation.ends import Places, WrittenPlaces, end_of
from ringfence.policy.explanation.explanation import Explanation, Seen
from ringfence.policy.explanation.misses import Miss, near_misses
from ringfence.policy.explanation.peering import Peer
from ringfence.policy.explanation.population import Population
from ringfence.policy.explanation.side import Side, look
from ringfence.policy.explanation.unwritten import missing_rule, other_way
from ringfence.policy.rule import Policy
from ringfence.policy.world import Actor, World
from ringfence.traffic import Traffic
from ringfence.verdict import Judgement

MOST_MISSES = 5


@dataclass(frozen=True, slots=True)
class Question:
    """One packet. `source_port`, where it is known, tells replies from what opens a connection."""

    source: Actor
    destination: Actor
    traffic: Traffic
    source_port: int | None = None


class Explainer:
    """Answers questions about one world."""

    def __init__(self, world: World, places: Places | None = None, oracle: Oracle | None = None) -> None:
        self._oracle = oracle or Oracle(world)
        self._policies: dict[str, Policy] = {policy.uid: policy for policy in world.policies}
        self._workloads = Population(actor.labels for actor in world.actors.values() if actor.local)
        self._places = places or WrittenPlaces(self._oracle.rules)

    def explain(self, question: Question, most: int = MOST_MISSES) -> Explanation:
        """Why a packet is allowed or denied. Raises BadInput where its ends have no addresses of one family."""
        source, destination, traffic = question.source, question.destination, question.traffic
        try:
            addresses(source, destination, traffic)
        except ValueError as error:
            raise BadInput(str(error)) from error
        judgement = self._oracle.judge(source, destination, traffic)
        sides = self._sides(question)
        misses = self._misses(question, sides)[:most] if judgement.verdict == Verdict.DENY else []
        chain = tuple(self._seen(side, judgement) for side in sides)
        ends = source.name, destination.name
        return Explanation(*ends, traffic, judgement, chain, tuple(misses), self._policies)

    def _sides(self, question: Question) -> list[Side]:
        source, destination = question.source, question.destination
        judged = ((Direction.EGRESS, source, destination), (Direction.INGRESS, destination, source))
        sides = [direction for direction, subject, peer in judged if self._oracle.judges(subject, peer)]
        return [look(self._oracle, direction, source, destination, question.traffic) for direction in sides]

    def _misses(self, question: Question, sides: list[Side]) -> list[Miss]:
        """Near misses of each denied direction: the nearest of each, then the others."""
        first: list[Miss] = []
        others: list[Miss] = []
        for side in (side for side in sides if side.denied):
            other = next((each for each in sides if each is not side), None)
            found = sorted(self._of_side(question, side, other), key=lambda miss: miss.order)
            first += found[:1]
            others += found[1:]
        return first + sorted(others, key=lambda miss: miss.order)

    def _of_side(self, question: Question, side: Side, other: Side | None) -> Iterator[Miss]:
        written = near_misses(self._oracle, self._policies.values(), side, self._workloads)
        yield from written
        ends = (question.source, question.destination)
        yield from other_way(self._oracle, side, *ends, question.source_port)
        nearest = min((miss.order for miss in written), default=None)
        for miss in missing_rule(side, other, self._policies):
            if nearest is None or miss.order < nearest:  # a nearer rule has said it better
                yield miss

    def _seen(self, side: Side, judgement: Judgement) -> Seen:
        counts = any(each.direction == side.direction for each in judgement.decisions)
        ends = end_of(Peer(side.subject, side.address), self._places), end_of(side.peer, self._places)
        return Seen(side, *ends, counts=counts)
