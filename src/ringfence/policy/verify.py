"""The proof: for every packet the compiled map state gives the oracle's verdict, by a rule that the oracle names too.

Packets are not enumerated; classes of them are, and one packet of each is put to both. A packet is judged in up to two
directions, each a question of subject, peer and traffic, and each direction is proven by itself, also where the other
would have denied before. That the classes stand for all packets has four parts:

- *Addresses.* Both sides know an address by prefixes only: the rules' prefixes; who is at it (workloads, nodes, the
  prefixes of the settings); the ipcache's prefixes. All of these together cut the address space into regions
  (`classes.regions`), and every address of a region has the same rules' prefixes around it, the same owner and the
  same longest prefix in the ipcache. One address of each region is asked about; regions that are the same to both sides
  (labels, named ports, rules' prefixes around; identity, prefix class) are one class.
- *Subjects.* Every workload of the world by its labels and the identity that its address leads to; for each selector
  that selects nobody of the world, one made-up workload that it does select.
- *Traffic.* For a subject and a peer only those rules speak that select the one and mean the other, and only those
  entries are found that bear the subject's number and the peer's identity, its class, or nobody's. Between neighbouring
  edges of all their ranges of ports (ICMP types, and ports that they call by name as the destination has them) nothing
  changes on either side; nor between two protocols that none of them names. ICMP travels in IPv4 only, ICMPv6 in IPv6.
- *Repetition.* Peers that the same of the selecting rules mean in the same ways, with the same named ports, and for
  which a subject has the same entries, get the same answers; so do subjects that the same rules select, with the same
  named ports and the same entries. Such a comparison is made once and counted for all.

Edges of entries and prefixes of the ipcache are taken as they are found, not as the compiler should have made them: so
the proof holds, or fails, for any map, however it came about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ringfence.abi import Direction, PeerKind
from ringfence.labels import Labels
from ringfence.policy.builtin import Settings
from ringfence.policy.classes import Span, traffic_classes
from ringfence.policy.evaluate import Oracle, peer_meant
from ringfence.policy.held import EntryRow, Held
from ringfence.policy.lookup import Entries, Lookup
from ringfence.policy.parse import Parsed
from ringfence.policy.parties import Addresses, PeerClasses, Placed, complete_world, place, subjects
from ringfence.policy.rule import Peers, Rule
from ringfence.policy.test import compile_world
from ringfence.policy.world import DEFAULT_SETTINGS, Actor, World
from ringfence.traffic import Protocol, Traffic
from ringfence.verdict import Decision

#: Told how many of how many subjects are done.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A packet of which the two do not decide alike in a direction: what the book says, and what the map says."""

    direction: Direction
    source: Placed
    destination: Placed
    traffic: Traffic
    oracle: Decision
    map: Decision

    def __str__(self) -> str:
        ends = " -> ".join(f"{end.actor.name} ({end.address})" for end in (self.source, self.destination))
        return f"{ends} {self.traffic}, {self.direction.name.lower()}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "direction": self.direction.name.lower(),
            "from": self.source.actor.name,
            "from_address": str(self.source.address),
            "to": self.destination.actor.name,
            "to_address": str(self.destination.address),
            "port": str(self.traffic),
            "oracle": _decision_dict(self.oracle),
            "map": _decision_dict(self.map),
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared. `classes` of packets were covered by `compared` comparisons; without a counterexample all of
    them are equal.
    """

    subjects: int
    peers: int
    entries: int
    classes: int
    compared: int
    counterexample: Counterexample | None = None

    @property
    def equal(self) -> bool:
        return self.counterexample is None

    def to_dict(self) -> dict[str, Any]:
        return {
            "equal": self.equal,
            "classes": self.classes,
            "compared": self.compared,
            "subjects": self.subjects,
            "peers": self.peers,
            "entries": self.entries,
            "counterexample": self.counterexample.to_dict() if self.counterexample else None,
        }


def verify(parsed: Parsed, settings: Settings = DEFAULT_SETTINGS, progress: Progress | None = None) -> Proof:
    """Compile the policies of some documents and prove the result against the oracle."""
    compiled = compile_world(complete_world(parsed, settings))
    return prove(compiled.world, compiled.state.map, compiled.state.ipcache, progress)


def prove(world: World, entries: Entries, ipcache: Addresses, progress: Progress | None = None) -> Proof:
    """Prove that entries and ipcache say what a world's policies say, or find a packet that refutes it.

    The counts are then of what was found equal before it.
    """
    return _Prover(world, entries, ipcache).prove(progress or (lambda _done, _all: None))


class _Prover:
    def __init__(self, world: World, entries: Entries, ipcache: Addresses) -> None:
        self._oracle = Oracle(world)
        self._rules = list(world.rules)
        self._held = Held(entries)
        placed = place(world, ipcache)
        self._subjects = list(subjects(placed, self._oracle))
        by_labels: dict[Peers, dict[Labels, int]] = {}
        self._peers = {
            version: PeerClasses((each for each in placed if each.address.version == version), by_labels)
            for version in (4, 6)
        }
        self._selected: dict[tuple[Direction, Labels], tuple[int, ...]] = {}
        self._compared: dict[tuple[object, ...], int] = {}

    def prove(self, progress: Progress) -> Proof:
        classes = 0
        for done, subject in enumerate(self._subjects):
            progress(done, len(self._subjects))
            for direction in Direction:
                found = self._prove_direction(direction, subject)
                if isinstance(found, Counterexample):
                    return self._proof(classes, found)
                classes += found
        progress(len(self._subjects), len(self._subjects))
        return self._proof(classes, None)

    def _proof(self, classes: int, counterexample: Counterexample | None) -> Proof:
        peers = sum(len(peers.placed) for peers in self._peers.values())
        compared = sum(self._compared.values())
        return Proof(len(self._subjects), peers, len(self._held), classes, compared, counterexample)

    def _prove_direction(self, direction: Direction, subject: Placed) -> int | Counterexample:
        """How many classes of packets are equal for a subject in a direction, or one that is not."""
        peers = self._peers[subject.address.version]
        selecting = self._selecting(direction, subject.actor.labels)
        meant = peers.meant(selecting, self._rules)
        rows = self._held.of(direction, subject.known.identity)
        signatures = np.stack([meant, peers.ports, *peers.rows(rows)])
        groups, first, count = np.unique(signatures, axis=1, return_index=True, return_counts=True)
        anyone = rows[PeerKind.ANY, 0].number if (PeerKind.ANY, 0) in rows else 0
        total = 0
        for group, index, size in zip(groups.T.tolist(), first.tolist(), count.tolist(), strict=True):
            memory = (direction, selecting, subject.ports, subject.address.version, anyone, *group)
            if memory not in self._compared:
                found = self._compare(direction, subject, peers.placed[index], selecting, rows)
                if isinstance(found, Counterexample):
                    return found
                self._compared[memory] = found
            total += size * self._compared[memory]
        return total

    def _compare(
        self,
        direction: Direction,
        subject: Placed,
        peer: Placed,
        selecting: tuple[int, ...],
        rows: Mapping[tuple[int, int], EntryRow],
    ) -> int | Counterexample:
        """All kinds of traffic between two parties, put to both judges."""
        numbers = ((PeerKind.IDENTITY, peer.known.identity), (PeerKind.PREFIX_CLASS, peer.known.prefix_class))
        found = [row for row in map(rows.get, (*numbers, (PeerKind.ANY, 0))) if row]
        entries = self._held.entries(found)
        lookup = Lookup(entries)
        rules = [self._rules[index] for index in selecting]
        meaning = [rule for rule in rules if peer_meant(rule, peer.actor, peer.address)]
        destination = peer if direction == Direction.EGRESS else subject
        spans = [*spans_of(meaning, destination), *entries.spans()]
        traffics = [traffic for traffic in traffic_classes(spans) if carries(peer.address.version, traffic)]
        for traffic in traffics:
            expected = self._expected(direction, subject, peer, traffic)
            decided = lookup.decide(direction, subject.known.identity, peer.known, traffic)
            if not _alike(expected, decided):
                ends = (subject, peer) if direction == Direction.EGRESS else (peer, subject)
                return Counterexample(direction, *ends, traffic, expected, decided)
        return len(traffics)

    def _expected(self, direction: Direction, subject: Placed, peer: Placed, traffic: Traffic) -> Decision:
        if direction == Direction.EGRESS:
            return self._oracle.decide(direction, subject.as_subject, peer.as_peer, traffic)
        return self._oracle.decide(direction, peer.as_peer, subject.as_subject, traffic)

    def _selecting(self, direction: Direction, labels: Labels) -> tuple[int, ...]:
        """Which rules select a subject, by their place among the rules."""
        key = (direction, labels)
        if key not in self._selected:
            of_direction = (each for each in enumerate(self._rules) if each[1].direction == direction)
            self._selected[key] = tuple(index for index, rule in of_direction if rule.selects(labels))
        return self._selected[key]


def carries(version: int, traffic: Traffic) -> bool:
    """Whether addresses of a family can carry a kind of traffic."""
    return traffic.protocol != (Protocol.ICMPV6 if version == 4 else Protocol.ICMP)


def spans_of(rules: Iterable[Rule], destination: Placed | Actor) -> Iterator[Span]:
    """The ranges of ports that rules name, and the ports of a destination that they call by name."""
    chosen = list(rules)
    for ports in (ports for rule in chosen for ports in rule.traffic):
        if ports.protocol is not None:
            yield Span(ports.protocol, ports.first, ports.last)
    names = {port.name for rule in chosen for port in rule.named_ports}
    for port in destination.ports:
        if port.name in names:
            yield Span(Protocol[port.protocol], port.port, port.port)


def _alike(expected: Decision, found: Decision) -> bool:
    """The same verdict for the same reason, by the rule that the book names or by one that is tied with it."""
    named = found.rule == expected.rule or found.rule in expected.tied
    return named and (expected.verdict, expected.reason) == (found.verdict, found.reason)


def _decision_dict(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.name.lower(),
        "policy": decision.rule.policy,
        "rule": decision.rule.text,
        "origin": decision.rule.origin,
    }
