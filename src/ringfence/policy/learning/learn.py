"""Learning: from connections that were seen to the fewest policies that allow them, with the proof.

What is learned of stands in for what is wanted: nothing that was not seen is allowed, but for what comes of meaning
workloads by labels and addresses by prefixes as long as the caller says. Existing policies play no part: the set that
is learned suffices alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ringfence.abi import Direction
from ringfence.errors import BadInput
from ringfence.policy.builtin import Settings
from ringfence.policy.learning.draft import Draft, Item, drafts, peers_served
from ringfence.policy.learning.grants import Chosen, Folding, Granter, Kind, Need, choose
from ringfence.policy.learning.groups import Grouping, lasting
from ringfence.policy.learning.prove import LEARNED, Proof, prove
from ringfence.policy.learning.seen import Connection, EndKind, Seen
from ringfence.policy.learning.write import count, item_fields, manifest, text
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Policy
from ringfence.policy.world import DEFAULT_SETTINGS

BOTH: Final = (Direction.INGRESS, Direction.EGRESS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to learn. `by` are keys of labels to mean workloads by, `directions` those that are learned and isolated."""

    kind: Kind = "CiliumNetworkPolicy"
    by: tuple[str, ...] = ()
    folding: Folding = field(default_factory=Folding)
    directions: tuple[Direction, ...] = BOTH

    def __post_init__(self) -> None:
        passing = [key for key in self.by if not lasting(key)]
        if passing:
            raise BadInput(f"--by {passing[0]}: that label is of one replica or rollout; expected a label that lasts")
        for length, most in ((self.folding.v4, 32), (self.folding.v6, 128)):
            if not 0 <= length <= most:
                raise BadInput(f"a prefix of {length} bits; expected 0 to {most}")


@dataclass(frozen=True)
class Learned:
    """What was learned: policies as `text`, what each rule is for, the proof, and what could not be said."""

    drafts: tuple[Draft, ...]
    text: str
    proof: Proof
    seen: Seen
    chosen: Chosen
    unsayable: dict[Connection, str]

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies, read back from the text."""
        return parse_documents([Source(LEARNED, self.text)]).policies if self.drafts else ()

    @property
    def complete(self) -> bool:
        """Whether the proof holds and every connection is covered."""
        return self.proof.holds and not self.unsayable

    def to_dict(self) -> dict[str, Any]:
        """The document of `-o json`."""
        return {
            "policies": [manifest(draft) for draft in self.drafts],
            "rules": [self._rule(draft, index, item) for draft in self.drafts for index, item in _numbered(draft)],
            "flows": self.seen.flows,
            "proof": self.proof.to_dict(),
            "not_sayable": [{"connection": str(each), "why": why} for each, why in self.unsayable.items()],
            "passed_over": self.seen.passed_over,
        }

    def _rule(self, draft: Draft, index: int, item: Item) -> dict[str, Any]:
        return {
            "policy": draft.uid,
            "direction": item.direction.name.lower(),
            "index": index,
            "rule": item_fields(item, draft.kind),
            "needed_by": [self._reason(need) for need in peers_served(item, self.chosen.served)],
        }

    def _reason(self, need: Need) -> dict[str, Any]:
        evidence = self.seen.connections[need.connection]
        return {"connection": str(need.connection), "flows": evidence.flows, "first": evidence.first}


def learn(seen: Seen, wanted: Wanted | None = None, settings: Settings = DEFAULT_SETTINGS) -> Learned:
    """Learn the policies of what was seen. Raises BadInput for labels or prefixes that cannot be asked for."""
    wanted = wanted or Wanted()
    workloads = [end.labels for end in seen.ends() if end.kind is EndKind.WORKLOAD]
    grouping = Grouping(workloads, wanted.by, ("k8s",) if wanted.kind == "NetworkPolicy" else ())
    granter = Granter(grouping, wanted.kind, wanted.folding)
    unsayable = {each: why for each in seen.connections if (why := granter.unsayable(each, wanted.directions))}
    covered = [each for each in seen.connections if each not in unsayable]
    chosen = choose(granter, [need for each in covered for need in granter.needs(each, wanted.directions)])
    written = drafts(chosen.served, map(grouping.group, workloads), wanted.kind, wanted.directions)
    bare = text(written, chosen.served, seen.connections)
    proof = prove(bare, written, covered, chosen.witness, settings)
    heading = "".join(f"# {line}\n" for line in _heading(seen, covered, unsayable, proof))
    return Learned(tuple(written), heading + bare if written else "", proof, seen, chosen, unsayable)


def _heading(seen: Seen, covered: Sequence[Connection], unsayable: dict[Connection, str], proof: Proof) -> list[str]:
    lines = [f"Learned from {count(seen.flows, 'flow')} of {count(len(seen.connections), 'connection')}."]
    if not proof.denied:
        lines.append(f"Sufficient: {count(len(covered), 'connection')} evaluated, all allowed.")
    if not proof.needless:
        lines.append(f"Minimal: {count(proof.parts, 'part')} of rules left out in turn, each denies a connection.")
    lines += [f"Not covered: {each}; {why}." for each, why in list(unsayable.items())[:20]]
    rest = len(unsayable) - 20
    return [*lines, f"Not covered: {count(rest, 'more connection')}."] if rest > 0 else lines


def _numbered(draft: Draft) -> list[tuple[int, Item]]:
    return [pair for items in draft.items.values() for pair in enumerate(items)]
