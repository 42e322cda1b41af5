"""Grants: the smallest permissions there are, one group's traffic with one peer, and the fewest that suffice.

Every connection needs a grant of its source's egress and one of its destination's ingress. Groups and folded prefixes
may overlap, so that one grant serves what another was made for; such a grant is taken out again, until each that is
left has a connection that nothing else serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from itertools import product
from typing import Final, Literal, NamedTuple

from ringfence.abi import Direction
from ringfence.identity.prefixes import Address, Network
from ringfence.policy.learning.groups import Group, Grouping
from ringfence.policy.learning.seen import Connection, End, EndKind, Evidence
from ringfence.traffic import Protocol, Traffic, format_protocol

Kind = Literal["CiliumNetworkPolicy", "NetworkPolicy"]
#: What NetworkPolicy has words for.
_NAMEABLE: Final = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


class Entity(NamedTuple):
    """A peer with a reserved identity, by Cilium's name."""

    name: str

    def __str__(self) -> str:
        return self.name


Peer = Group | Entity | Network


class Grant(NamedTuple):
    """One group may speak (egress) to, or be spoken to (ingress) by, one peer by one kind of traffic."""

    subject: Group
    direction: Direction
    peer: Peer
    traffic: Traffic


class Need(NamedTuple):
    """One direction of a connection: who is judged, and who is the peer."""

    connection: Connection
    direction: Direction

    @property
    def subject(self) -> End:
        return self.connection.source if self.direction is Direction.EGRESS else self.connection.destination

    @property
    def peer(self) -> End:
        return self.connection.destination if self.direction is Direction.EGRESS else self.connection.source


@dataclass(frozen=True, slots=True)
class Folding:
    """How long a prefix stands for an outside address, by family. Without folding it stands for itself."""

    v4: int = 32
    v6: int = 128

    def network(self, address: Address) -> Network:
        return network_of(address, self.v4 if address.version == 4 else self.v6)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Grants that suffice, each with the needs that it serves, and the one of them that nothing else serves."""

    served: Mapping[Grant, list[Need]]
    witness: Mapping[Grant, Need]


class Granter:
    """Finds the grants that serve a need, in the words that a kind of policy has."""

    def __init__(self, grouping: Grouping, kind: Kind, folding: Folding) -> None:
        self._grouping = grouping
        self._kind = kind
        self._folding = folding

    def unsayable(self, connection: Connection, directions: Iterable[Direction]) -> str:
        """Why policies of this kind cannot allow a connection; empty if they can, or need not."""
        if not any(True for _ in self.needs(connection, directions)):
            return ""
        if self._kind == "NetworkPolicy" and connection.traffic.protocol not in _NAMEABLE:
            return f"NetworkPolicy has no word for {format_protocol(connection.traffic.protocol)}"
        if connection.traffic.protocol in _NAMEABLE and not connection.traffic.port:
            return "port 0 stands for all ports"
        for end in (connection.source, connection.destination):
            if end.kind is EndKind.ENTITY and not end.entity:
                return f"no policy has a word for {end.labels}"
        return ""

    def needs(self, connection: Connection, directions: Iterable[Direction]) -> Iterator[Need]:
        """The directions that are judged and need a rule: NetworkPolicy lets a workload's own node in by itself."""
        for direction in directions:
            need = Need(connection, direction)
            let_in = self._kind == "NetworkPolicy" and direction is Direction.INGRESS and need.peer.entity == "host"
            if need.subject.kind is EndKind.WORKLOAD and not let_in:
                yield need

    def own(self, need: Need) -> Grant:
        """The grant that is made for a need."""
        subject = self._grouping.group(need.subject.labels)
        return Grant(subject, need.direction, self._peer(need.peer), need.connection.traffic)

    def serving(self, need: Need) -> Iterator[Grant]:
        """Every grant that could be made for some need and serves this one."""
        subjects, peers = self._grouping.meaning(need.subject.labels), self._peers(need.peer)
        for subject, peer in product(subjects, peers):
            yield Grant(subject, need.direction, peer, need.connection.traffic)

    def _peer(self, end: End) -> Peer:
        if end.kind is EndKind.WORKLOAD:
            return self._grouping.group(end.labels)
        if end.kind is EndKind.ENTITY and self._kind == "CiliumNetworkPolicy":
            return Entity(end.entity)
        # Nodes are not folded: only addresses of the world are told to be like their neighbours.
        folding = self._folding if end.kind is EndKind.WORLD else Folding()
        return folding.network(end.address)

    def _peers(self, end: End) -> Iterable[Peer]:
        """NetworkPolicy's blocks mean whoever is at an address; Cilium's prefixes only who is outside."""
        groups: tuple[Peer, ...] = self._grouping.meaning(end.labels) if end.kind is EndKind.WORKLOAD else ()
        if self._kind == "NetworkPolicy":
            blocks = (self._folding.network(end.address), Folding().network(end.address))
            return dict.fromkeys((*groups, *blocks))
        return groups or (self._peer(end),)


def choose(granter: Granter, needs: Iterable[Need]) -> Chosen:
    """The grants made for some needs, without those that others serve for. In the order of the needs."""
    all_needs = list(needs)
    made = dict.fromkeys(granter.own(need) for need in all_needs)
    serving = [[grant for grant in granter.serving(need) if grant in made] for need in all_needs]
    served: dict[Grant, list[int]] = {grant: [] for grant in made}
    for index, grants in enumerate(serving):
        for grant in grants:
            served[grant].append(index)
    left = [len(grants) for grants in serving]
    for grant in sorted(made, key=lambda each: len(served[each])):
        # Those that serve least go first: what stays is the broader, and the set the smaller.
        if all(left[index] > 1 for index in served[grant]):
            for index in served.pop(grant):
                left[index] -= 1
    witness = {
        grant: next(all_needs[index] for index in indices if left[index] == 1) for grant, indices in served.items()
    }
    return Chosen({grant: [all_needs[index] for index in indices] for grant, indices in served.items()}, witness)


def flows_of(needs: Iterable[Need], connections: Mapping[Connection, Evidence]) -> int:
    """How many flows some needs stand for."""
    return sum(connections[need.connection].flows for need in needs)


@lru_cache(maxsize=65536)
def network_of(address: Address, length: int) -> Network:
    """The prefix of a length that an address lies in."""
    return ip_network((address, length), strict=False)
