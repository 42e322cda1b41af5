"""Drafts: grants put together into policies, one a group, with as few items as say exactly these grants.

Peers of one sort with the same traffic share an item: an item allows each of its peers all of its traffic, so nothing
is allowed that no grant allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from ringfence.abi import Direction
from ringfence.identity.prefixes import Network
from ringfence.policy.learning.grants import Entity, Grant, Kind, Need, Peer
from ringfence.policy.learning.groups import Group
from ringfence.traffic import WITH_PORTS, Traffic

#: Cilium's limit on the ports of one list.
_MOST_PORTS: Final = 40
_NAME_LENGTH: Final = 63


@dataclass(frozen=True, slots=True)
class Item:
    """One rule: all of its peers by all of its traffic. Groups come before prefixes, as they are read back."""

    peers: tuple[Peer, ...]
    traffic: tuple[Traffic, ...]
    subject: Group
    direction: Direction

    def grants(self) -> list[Grant]:
        """The grants that it stands for."""
        return [Grant(self.subject, self.direction, *pair) for pair in product(self.peers, self.traffic)]


@dataclass(frozen=True, slots=True)
class Draft:
    """A policy to be written. A direction without items is isolated; one that is not there is left open."""

    kind: Kind
    name: str
    subject: Group
    items: Mapping[Direction, tuple[Item, ...]]

    @property
    def uid(self) -> str:
        return f"{self.kind}/{self.subject.namespace}/{self.name}"


def drafts(
    grants: Iterable[Grant], subjects: Iterable[Group], kind: Kind, directions: Sequence[Direction]
) -> list[Draft]:
    """A policy for each subject, in the order of namespaces and labels."""
    of: dict[tuple[Group, Direction], list[Grant]] = {}
    for grant in grants:
        of.setdefault((grant.subject, grant.direction), []).append(grant)
    names: set[tuple[str, str]] = set()
    found = []
    for subject in sorted(set(subjects)):
        items = {each: _items(of.get((subject, each), ()), kind) for each in directions}
        found.append(Draft(kind, _name(subject, names), subject, items))
    return found


def _items(grants: Iterable[Grant], kind: Kind) -> tuple[Item, ...]:
    by_peer: dict[tuple[Peer, bool], set[Traffic]] = {}
    example = None
    for grant in grants:
        example = grant
        by_peer.setdefault((grant.peer, grant.traffic.protocol in WITH_PORTS), set()).add(grant.traffic)
    if example is None:
        return ()
    by_traffic: dict[tuple[int, tuple[Traffic, ...]], list[Peer]] = {}
    for (peer, _), traffic in by_peer.items():
        sort = _sort(peer) if kind == "CiliumNetworkPolicy" else 0
        by_traffic.setdefault((sort, tuple(sorted(traffic))), []).append(peer)
    return tuple(
        Item(tuple(sorted(peers, key=_order)), part, example.subject, example.direction)
        for (_, traffic), peers in sorted(by_traffic.items())
        for part in _parts(traffic, kind)
    )


def _parts(traffic: Sequence[Traffic], kind: Kind) -> Iterable[tuple[Traffic, ...]]:
    size = _MOST_PORTS if kind == "CiliumNetworkPolicy" else len(traffic)
    return (tuple(traffic[start : start + size]) for start in range(0, len(traffic), size))


def _sort(peer: Peer) -> int:
    """Which sort of peer it is: an item has one sort only."""
    return 0 if isinstance(peer, Group) else 1 if isinstance(peer, Entity) else 2


def _order(peer: Peer) -> tuple[int, object]:
    if isinstance(peer, Group):
        return 0, peer
    return (1, peer.name) if isinstance(peer, Entity) else (2, _network_order(peer))


def _network_order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _name(subject: Group, taken: set[tuple[str, str]]) -> str:
    """A name after the labels' values, which Kubernetes takes and nobody else in the namespace has."""
    told = "-".join(value for _, _, value in subject.labels) or ("others" if subject.lacking else "all")
    base = re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-")[: _NAME_LENGTH - 6].strip("-") or "learned"
    name, number = base, 1
    while (subject.namespace, name) in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add((subject.namespace, name))
    return name


def peers_served(item: Item, served: Mapping[Grant, list[Need]]) -> list[Need]:
    """The needs that an item is for, each once."""
    return list(dict.fromkeys(need for grant in item.grants() for need in served[grant]))
