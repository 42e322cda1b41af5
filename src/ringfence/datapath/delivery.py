"""Delivery: how packets may reach an endpoint, found out from the node's routes, filters and interfaces, and why so.

Past the stack only where the stack would deliver there as well: the node's route for every address leads to the
interface, and no rule at the forward hook could have dropped the packet.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Final

from ringfence.abi import Delivery
from ringfence.datapath.forwarding import forward_rules
from ringfence.datapath.interfaces import Address, Link, links
from ringfence.datapath.netlink import Netlink, attribute

# linux/rtnetlink.h
_ROUTE: Final = struct.Struct("<BBBBBBBBI")
_GETROUTE: Final = 26
_RTA_DST, _RTA_OIF = 1, 4
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}

Decision = tuple[Delivery, str]


def deliveries(wanted: Mapping[int, Iterable[Address]]) -> dict[int, Decision]:
    """By interface index here: how packets may be delivered to it, and why not faster, for people.

    `wanted` are the addresses of the workload behind each. One that is gone is left out.
    """
    there = {link.index: link for link in links()}
    rules = forward_rules()
    found: dict[int, Decision] = {}
    with Netlink() as netlink:
        for ifindex in wanted.keys() & there.keys():
            if rules:
                found[ifindex] = Delivery.STACK, f"the node filters forwarded packets: {rules}"
            else:
                found[ifindex] = _delivery(netlink, there[ifindex], tuple(wanted[ifindex]))
    return found


def _delivery(netlink: Netlink, link: Link, addresses: tuple[Address, ...]) -> Decision:
    if not addresses:
        return Delivery.STACK, "the workload has no address"
    for address in addresses:
        if _route_to(netlink, address) != link.index:
            return Delivery.STACK, f"the node's route to {address} does not lead to the interface"
    # bpf_redirect_peer works into another namespace only.
    if link.kind != "veth" or link.peer_namespace is None:
        return Delivery.REDIRECT, f"{link.name} is not a veth into another namespace"
    return Delivery.PEER, ""


def _route_to(netlink: Netlink, address: Address) -> int | None:
    """Index of the interface that the node sends packets for this address to; None where it has no route."""
    head = _ROUTE.pack(_FAMILIES[address.version], address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    try:
        answer = netlink.ask(_GETROUTE, head + attribute(_RTA_DST, address.packed), _ROUTE.size)
    except OSError:
        return None
    return answer.number(_RTA_OIF) if answer else None
