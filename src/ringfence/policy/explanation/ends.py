"""The ends of a flow as policies see them: address, prefix, identity, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Any, NamedTuple, Protocol

from ringfence.identity.prefixes import Network, host_network
from ringfence.identity.reserved import WHOLE_FAMILY, Reserved
from ringfence.labels import Labels
from ringfence.policy.classes import longest
from ringfence.policy.explanation.peering import Peer
from ringfence.policy.rule import Rule


class Place(NamedTuple):
    """What an address is found under: the prefix, and the number of its identity where there is one."""

    prefix: Network
    identity: int | None


class Places(Protocol):
    """Where addresses are looked up."""

    def find(self, peer: Peer) -> Place: ...


@dataclass(frozen=True, slots=True)
class End:
    """One end. `identity` is None where no agent has given a number."""

    name: str
    address: str
    prefix: str
    identity: int | None
    labels: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "address": self.address,
            "prefix": self.prefix,
            "identity": self.identity,
            "labels": list(self.labels),
        }


def end_of(peer: Peer, places: Places) -> End:
    """An end at one of its addresses."""
    prefix, identity = places.find(peer)
    labels = _labels(peer, prefix)
    return End(peer.actor.name, str(peer.address), str(prefix), identity, tuple(labels.texts()))


def _labels(peer: Peer, prefix: Network) -> Labels:
    """Outside, the labels are those of the prefix that an address is known under, and not of the address."""
    if not peer.actor.outside:
        return peer.actor.labels
    reserved = Labels([Reserved.WORLD.label])
    return reserved | Labels.parse([f"cidr:{prefix}"]) if prefix.prefixlen else reserved


class WrittenPlaces:
    """Prefixes as rules write them. Only reserved identities have numbers: the others an agent gives."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    @cached_property
    def _prefixes(self) -> set[Network]:
        return {prefix for rule in self._rules for prefix in rule.prefixes}

    def find(self, peer: Peer) -> Place:
        host = host_network(peer.address)
        if not peer.actor.outside:
            reserved = peer.actor.reserved
            return Place(host, int(reserved) if reserved is not None else None)
        prefix = longest(host, self._prefixes) or ip_network("0.0.0.0/0" if host.version == 4 else "::/0")
        return Place(prefix, int(WHOLE_FAMILY[prefix]) if prefix in WHOLE_FAMILY else None)
