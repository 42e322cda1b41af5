"""Wording: what stands in the maps in words, with the labels and names that numbers stand for.

Numbers may be ones that mean nothing: somebody else may have written them.
"""

from __future__ import annotations

from typing import Final

from ringfence.abi import Aggregation, Delivery, Direction, PeerKind, Tier
from ringfence.agent.dry import traffic_text
from ringfence.datapath.readback import RowRead
from ringfence.engine.commands import Peer
from ringfence.engine.known import Known
from ringfence.policy.mapstate import PolicyKey

#: The numbers that mean something; any other may stand in a map as well.
DIRECTIONS: Final = frozenset(map(int, Direction))
TIERS: Final = frozenset(map(int, Tier))
DELIVERIES: Final = frozenset(map(int, Delivery))
AGGREGATIONS: Final = frozenset(map(int, Aggregation))


def key_text(key: PolicyKey, known: Known) -> str:
    """An entry's key: direction, tier, subject, peer and traffic."""
    direction = Direction(key.direction).name.lower() if key.direction in DIRECTIONS else str(key.direction)
    tier = Tier(key.tier).name.lower() if key.tier in TIERS else str(key.tier)
    peer = "anyone"
    if key.peer_kind == PeerKind.IDENTITY:
        peer = identity_text(key.peer, known)
    elif key.peer_kind != PeerKind.ANY:
        peer = f"class {identity_text(key.peer, known)}"
    way = "to" if key.direction == Direction.EGRESS else "from"
    traffic = traffic_text(key.protocol, key.port, key.prefix) if key.prefix in {0, *range(8, 25)} else str(key)
    return f"{tier} {direction} of {identity_text(key.subject, known)} {way} {peer}, {traffic}"


def identity_text(number: int, known: Known) -> str:
    """An identity, or a class of prefixes."""
    labels = ",".join(known.labels_of(number))
    return f"{number} ({labels})" if labels else str(number)


def rule_text(number: int, known: Known) -> str:
    """What a rule number stands for."""
    if not number:
        return "nothing"
    text = known.rule_of(number)
    return text.text if text else f"rule {number}, which stands for nothing"


def peer_text(peer: Peer, known: Known) -> str:
    """Who an address is."""
    if not peer.identity:
        return "nothing"
    prefix_class = f", class {identity_text(peer.prefix_class, known)}" if peer.prefix_class else ""
    endpoint = f", endpoint {known.endpoint_of(peer.endpoint) or peer.endpoint}" if peer.endpoint else ""
    return f"identity {identity_text(peer.identity, known)}{prefix_class}{endpoint}"


def place_text(row: RowRead) -> str:
    """Where an endpoint is, how packets get to it and which of them are events."""
    wire = wire_text(row.id, row.ifindex, row.mac, row.host_mac)
    return f"{wire}, delivered by {delivery_text(row.delivery)}, aggregation {aggregation_text(row.aggregation)}"


def wire_text(number: int, ifindex: int, mac: bytes, host_mac: bytes) -> str:
    """An endpoint's interface, both sides."""
    return f"id {number}, interface {ifindex}, {mac.hex(':')}, host side {host_mac.hex(':')}"


def delivery_text(number: int) -> str:
    """How packets are delivered."""
    return Delivery(number).name.lower() if number in DELIVERIES else str(number)


def aggregation_text(number: int) -> str:
    """Which packets are events."""
    return Aggregation(number).name.lower() if number in AGGREGATIONS else str(number)
