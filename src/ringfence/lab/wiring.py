"""Wiring: one veth pair per pod, its host side in the node's namespace, and the routes that join the pods.

Every pod has whole-address (/32, /128) addresses and a default route to a gateway address that nobody owns: permanent
neighbours on both ends stand in for ARP and neighbour discovery, so that the first packet can be sent at once and no
packet of a lab is there for its own sake. Forwarding is switched on in the node's namespace only.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from pyroute2 import IPRoute

from ringfence.lab import namespaces

Address = IPv4Address | IPv6Address

POD_INTERFACE = "eth0"
GATEWAYS: Mapping[int, str] = {4: "169.254.1.1", 6: "fe80::1"}
FAMILIES: Mapping[int, int] = {4: socket.AF_INET, 6: socket.AF_INET6}
NEIGHBOUR_PERMANENT = 0x80
ADDRESS_NODAD = 0x02
ROUTE_ONLINK = 4
SCOPE_LINK = 253

NODE_SETTINGS: Mapping[str, str] = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/all/forwarding": "1",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/addr_gen_mode": "1",
}
POD_SETTINGS: Mapping[str, str] = {
    "ipv4/ping_group_range": "0 2147483647",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/addr_gen_mode": "1",
}


@dataclass(frozen=True, slots=True)
class Wire:
    """A pod's connection: the namespace it lives in, its number in the lab (from 1) and its addresses."""

    namespace: str
    number: int
    addresses: tuple[Address, ...]

    @property
    def host_interface(self) -> str:
        """Name of the side that the node holds."""
        return f"rf{self.number}"

    @property
    def mac(self) -> str:
        """Link address of the pod's side."""
        return f"0a:52:46:00:{self.number >> 8:02x}:{self.number & 255:02x}"

    @property
    def host_mac(self) -> str:
        """Link address of the node's side."""
        return f"0a:52:46:01:{self.number >> 8:02x}:{self.number & 255:02x}"


def make_node(node: str, addresses: Iterable[Address]) -> None:
    """Make the namespace that plays the node, with its own addresses on its loopback interface."""
    namespaces.create(node)
    namespaces.inside(node, lambda: _set_up_node(tuple(addresses)))


def connect(node: str, wire: Wire) -> None:
    """Make a pod's namespace and join it to the node."""
    namespaces.create(wire.namespace)
    namespaces.inside(wire.namespace, lambda: _set(POD_SETTINGS))
    namespaces.inside(node, lambda: _set_up_host_side(wire))
    namespaces.inside(wire.namespace, lambda: _set_up_pod_side(wire))


def _set_up_node(addresses: tuple[Address, ...]) -> None:
    _set(NODE_SETTINGS)
    with IPRoute() as netlink:
        _raise(netlink, 1)
        for address in addresses:
            _add_address(netlink, 1, address)


def _set_up_host_side(wire: Wire) -> None:
    with IPRoute() as netlink:
        peer = {"ifname": POD_INTERFACE, "address": wire.mac, "net_ns_fd": str(namespaces.RUN / wire.namespace)}
        netlink.link("add", ifname=wire.host_interface, kind="veth", address=wire.host_mac, peer=peer)
        index = netlink.link_lookup(ifname=wire.host_interface)[0]
        _raise(netlink, index)
        for address in wire.addresses:
            family = FAMILIES[address.version]
            netlink.neigh("replace", dst=str(address), lladdr=wire.mac, ifindex=index, state=NEIGHBOUR_PERMANENT)
            destination = f"{address}/{address.max_prefixlen}"
            netlink.route("add", family=family, dst=destination, oif=index, scope=SCOPE_LINK)


def _set_up_pod_side(wire: Wire) -> None:
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname=POD_INTERFACE)[0]
        if all(address.version == 4 for address in wire.addresses):
            # Without an address the family would only chatter (multicast listener reports) through the hook.
            _set({f"ipv6/conf/{POD_INTERFACE}/disable_ipv6": "1"})
        _raise(netlink, 1)
        _raise(netlink, index)
        for address in wire.addresses:
            _add_address(netlink, index, address)
        for version in {address.version for address in wire.addresses}:
            gateway = GATEWAYS[version]
            netlink.neigh("replace", dst=gateway, lladdr=wire.host_mac, ifindex=index, state=NEIGHBOUR_PERMANENT)
            netlink.route(
                "add", family=FAMILIES[version], dst="default", gateway=gateway, oif=index, flags=ROUTE_ONLINK
            )


def _raise(netlink: IPRoute, index: int) -> None:
    netlink.link("set", index=index, state="up")


def _add_address(netlink: IPRoute, index: int, address: Address) -> None:
    flags = ADDRESS_NODAD if address.version == 6 else 0
    netlink.addr(
        "add",
        index=index,
        family=FAMILIES[address.version],
        address=str(address),
        prefixlen=address.max_prefixlen,
        flags=flags,
    )


def _set(settings: Mapping[str, str]) -> None:
    """Write settings of the current namespace's network stack; those of a family that the kernel lacks are left."""
    for name, value in settings.items():
        path = Path("/proc/sys/net") / name
        if path.exists():
            path.write_text(value)
