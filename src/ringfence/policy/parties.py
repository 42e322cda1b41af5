"""The parties of a proof: whose packets are asked about, one of each class that rules and ipcache can tell apart.

A party has an address, and with it two sides: the actor that the world has there, with its labels, and what the
ipcache says of the address. Parties that are the same on both sides are one class.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import PeerKind
from ringfence.identity.ipcache import Known
from ringfence.identity.prefixes import Address, Network, host_network
from ringfence.identity.reserved import RESERVED_LABELS, Reserved
from ringfence.labels import Labels
from ringfence.policy.builtin import LINK_LOCAL, Settings
from ringfence.policy.case import Party
from ringfence.policy.classes import Region, longest, regions, witness
from ringfence.policy.evaluate import Oracle, peer_meant
from ringfence.policy.held import EntryRow
from ringfence.policy.manifest import ContainerPort
from ringfence.policy.parse import Parsed
from ringfence.policy.rule import Peers, Rule
from ringfence.policy.world import DEFAULT_SETTINGS, Actor, World, build_world, outside_labels
from ringfence.selector import Selector

Numbers = NDArray[np.int64]

_ENTITIES: Final = ("host", "remote-node", "init", "ingress", "unmanaged", "health", "kube-apiserver")


class Addresses(Protocol):
    """An ipcache: every prefix with what it says, and the longest one's word on an address."""

    def items(self) -> Iterable[tuple[Network, Known]]: ...

    def lookup(self, address: Address) -> Known: ...


@dataclass(frozen=True, slots=True)
class Placed:
    """An actor at one of its addresses, and what the ipcache says of that. `ports` are those that rules name."""

    actor: Actor
    address: Address
    known: Known
    ports: frozenset[ContainerPort] = frozenset()

    @property
    def as_peer(self) -> Actor:
        """The actor as the other end of a direction: not judged itself."""
        return replace(self.actor, addresses=(self.address,), local=False)

    @property
    def as_subject(self) -> Actor:
        """The actor as the end that is judged."""
        return replace(self.actor, addresses=(self.address,))


def complete_world(parsed: Parsed, settings: Settings = DEFAULT_SETTINGS) -> World:
    """The world of some documents, with every entity, and with a made-up workload for selectors that select nobody."""
    world = build_world(parsed, entities(), settings)
    known = {actor.labels for actor in world.everyone()}
    missing = [each for each in selectors(world) if not any(each.matches(labels) for labels in known)]
    made_up = filter(None, map(witness, missing))
    return build_world(parsed, [*entities(), *made_up], settings)


def entities() -> list[Party]:
    """Everybody who is neither workload nor outside."""
    return [Party(entity=entity) for entity in _ENTITIES]


def selectors(world: World) -> list[Selector]:
    """Every selector of the rules, each once."""
    subjects = (() if rule.for_host else (rule.subject,) for rule in world.rules)
    named = zip(subjects, (rule.peers.selectors for rule in world.rules), strict=True)
    return list(dict.fromkeys(each for both in named for part in both for each in part))


def place(world: World, ipcache: Addresses) -> list[Placed]:
    """One of each class of parties, of both families. The first of a class stands for it."""
    rule_prefixes = {prefix for rule in world.rules for prefix in rule.prefixes}
    owners = {address: actor for actor in world.everyone() if not actor.outside for address in actor.addresses}
    cuts: set[Network] = {*rule_prefixes, *map(host_network, owners), LINK_LOCAL, *world.settings.workload_prefixes}
    cuts.update(network for network, _ in ipcache.items())
    names = {port.name for rule in world.rules for port in rule.named_ports}
    found: dict[Hashable, Placed] = {}
    for region in regions(cuts):
        actor = owners.get(region.address) or _nobodys(region, world.settings)
        known = ipcache.lookup(region.address)
        ports = frozenset(port for port in actor.ports if port.name in names)
        labels = actor.labels if not actor.outside else None
        looks = (labels, ports, actor.local, actor.addressed, longest(region.prefix, rule_prefixes))
        found.setdefault((region.prefix.version, looks, known), Placed(actor, region.address, known, ports))
    return list(found.values())


def subjects(placed: list[Placed], oracle: Oracle) -> Iterator[Placed]:
    """Those whose policies are judged, each class of labels, ports and identity once for a family."""
    found: dict[Hashable, Placed] = {}
    for each in placed:
        if oracle.judges_somewhere(each.actor):
            found.setdefault((each.actor.labels, each.ports, each.known.identity, each.address.version), each)
    return iter(found.values())


def _nobodys(region: Region, settings: Settings) -> Actor:
    """Who is at addresses that no workload and no node has."""
    prefix, addresses = region.prefix, (region.address,)
    reserved = None
    if longest(prefix, {LINK_LOCAL}):
        reserved = Reserved.HOST
    elif longest(prefix, set(settings.workload_prefixes)):
        reserved = Reserved.UNMANAGED
    if reserved is None:
        return Actor(str(region.address), outside_labels(addresses), addresses, outside=True)
    return Actor(str(region.address), RESERVED_LABELS[reserved], addresses, reserved=reserved)


class PeerClasses:
    """The peers of one family, and which of them rules mean and rows of entries are for, as arrays over them.

    `ports` numbers the sets of named ports. `by_labels` is shared by both families: what is known already of whom
    rules mean that ask for labels alone.
    """

    def __init__(self, placed: Iterable[Placed], by_labels: dict[Peers, dict[Labels, int]]) -> None:
        self.placed = list(placed)
        self._by_labels = by_labels
        numbers: dict[frozenset[ContainerPort], int] = {}
        self.ports = np.array([numbers.setdefault(each.ports, len(numbers)) for each in self.placed], np.int64)
        self._at: dict[tuple[int, int], list[int]] = {}
        for index, each in enumerate(self.placed):
            self._at.setdefault((PeerKind.IDENTITY, each.known.identity), []).append(index)
            self._at.setdefault((PeerKind.PREFIX_CLASS, each.known.prefix_class), []).append(index)
        self._meant: dict[Peers, Numbers] = {}
        self._selected: dict[tuple[int, ...], Numbers] = {}

    def meant(self, selecting: tuple[int, ...], rules: Sequence[Rule]) -> Numbers:
        """A number for each peer: equal for those that all of some rules, by their places, mean in the same ways."""
        if selecting not in self._selected:
            ways = [self._ways(rules[index]) for index in selecting]
            table = np.stack(ways) if ways else np.zeros((1, len(self.placed)), np.int64)
            self._selected[selecting] = np.unique(table, axis=1, return_inverse=True)[1].reshape(-1)
        return self._selected[selecting]

    def rows(self, rows: Mapping[tuple[int, int], EntryRow]) -> list[Numbers]:
        """For each peer the number of its identity's row among some, and of its prefix class's; 0 for none."""
        found = {int(kind): np.zeros(len(self.placed), np.int64) for kind in PeerKind}
        for (kind, number), row in rows.items():
            found[kind][self._at.get((kind, number), [])] = row.number
        return [found[PeerKind.IDENTITY], found[PeerKind.PREFIX_CLASS]]

    def _ways(self, rule: Rule) -> Numbers:
        """The ways in which a rule means each peer, as bits."""
        if rule.peers not in self._meant:
            by_labels = self._by_labels.setdefault(rule.peers, {}) if not rule.peers.prefixes else None
            bits = [_bits(rule, each, None if each.actor.outside else by_labels) for each in self.placed]
            self._meant[rule.peers] = np.array(bits, np.int64)
        return self._meant[rule.peers]


def _bits(rule: Rule, peer: Placed, by_labels: dict[Labels, int] | None) -> int:
    """The ways in which a rule means a peer, remembered by its labels where those are all that counts."""
    labels = peer.actor.labels
    if by_labels is None:
        return sum(1 << kind for kind in set(peer_meant(rule, peer.actor, peer.address)))
    if labels not in by_labels:
        by_labels[labels] = _bits(rule, peer, None)
    return by_labels[labels]
