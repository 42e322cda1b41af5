"""Facts about interfaces, asked of the kernel: the two sides of a workload's interface, how packets may be delivered to
it, the node's own addresses, and which interfaces vanish.

"Here" is the network namespace of the calling thread, which holds the host sides.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final, TypeAlias

from pyroute2.netlink.exceptions import NetlinkError

from ringfence.abi import Delivery
from ringfence.datapath.forwarding import forward_rules
from ringfence.datapath.netlink import ask, inside, namespace_path
from ringfence.errors import NotFound, Unavailable

Address: TypeAlias = IPv4Address | IPv6Address

_SCOPE_GLOBAL: Final = 0
_ADDRESS_FAILED: Final = 0x08  # IFA_F_DADFAILED: somebody else has it
_SO_NETNS_COOKIE: Final = 71
_UNSPECIFIED: Final = -1


@dataclass(frozen=True, slots=True)
class WorkloadInterface:
    """A workload's interface: its own side as it is in `netns`, and the host side here. MAC addresses are six bytes."""

    netns: str
    name: str
    mac: bytes
    addresses: tuple[Address, ...]
    ifindex: int
    host_ifindex: int
    host_name: str
    host_mac: bytes


def workload_interface(netns: str | int | Path, interface: str = "eth0") -> WorkloadInterface:
    """Find both sides of a workload's veth. Addresses are those of global scope, in the kernel's order.

    Raises `NotFound` for a namespace or interface that is not there, `Unavailable` when the host side is not here.
    """
    path = namespace_path(netns)
    link, addresses = ask(lambda route: _own_side(route, path, interface), path)
    host = ask(lambda route: _host_side(route, path, link))
    if host is None:
        raise Unavailable(f"{interface} in {path} is not a veth whose other side is in the agent's network namespace")
    return WorkloadInterface(
        str(netns),
        interface,
        _mac(link),
        tuple(addresses),
        link["index"],
        host["index"],
        host.get_attr("IFLA_IFNAME"),
        _mac(host),
    )


def _own_side(route: Any, path: Path, interface: str) -> tuple[Any, list[Address]]:
    link = next((found for found in route.get_links() if found.get_attr("IFLA_IFNAME") == interface), None)
    if link is None:
        raise NotFound(f"there is no interface {interface} in {path}")
    return link, _addresses(route, index=link["index"])


def _addresses(route: Any, **where: int) -> list[Address]:
    found = [item for item in route.get_addr(**where) if item["scope"] == _SCOPE_GLOBAL]
    usable = [item for item in found if not (item.get_attr("IFA_FLAGS") or 0) & _ADDRESS_FAILED]
    # On a point-to-point interface IFA_ADDRESS is the other end's.
    return [ip_address(item.get_attr("IFA_LOCAL") or item.get_attr("IFA_ADDRESS")) for item in usable]


def _host_side(route: Any, path: Path, own: Any) -> Any | None:
    """The link here that says the workload's one is its other side, in the workload's namespace."""
    number = _namespace_number(route, path)
    for link in route.get_links():
        paired = link["index"] == own.get_attr("IFLA_LINK") and link.get_attr("IFLA_LINK") == own["index"]
        if paired and _kind(link) == "veth" and link.get_attr("IFLA_LINK_NETNSID") == number:
            return link
    return None


def _namespace_number(route: Any, path: Path) -> int | None:
    """The number by which this namespace knows another; None for itself and for one it has no link to."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        number = struct.unpack("<i", struct.pack("<I", (route.get_netnsid(fd=fd) or {})["nsid"] & 0xFFFFFFFF))[0]
    finally:
        os.close(fd)
    return None if number == _UNSPECIFIED else number


def _kind(link: Any) -> str:
    info = link.get_attr("IFLA_LINKINFO")
    return str(info.get_attr("IFLA_INFO_KIND")) if info is not None else ""


def _mac(link: Any) -> bytes:
    return bytes.fromhex((link.get_attr("IFLA_ADDRESS") or "00" * 6).replace(":", ""))


def delivery_for(ifindex: int, addresses: Iterable[Address]) -> tuple[Delivery, str]:
    """How packets may be delivered to the interface with this index here, and why not faster, for people.

    Past the stack only where the stack would deliver there as well: this namespace's route for every address leads to
    the interface, and no rule at its forward hook could have dropped the packet.
    """
    wanted = tuple(addresses)
    rules = forward_rules()
    if rules:
        return Delivery.STACK, f"the node filters forwarded packets: {rules}"
    return ask(lambda route: _delivery(route, ifindex, wanted))


def _delivery(route: Any, ifindex: int, addresses: Sequence[Address]) -> tuple[Delivery, str]:
    if not addresses:
        return Delivery.STACK, "the workload has no address"
    for address in addresses:
        if _route_to(route, address) != ifindex:
            return Delivery.STACK, f"the node's route to {address} does not lead to the interface"
    try:
        link = route.get_links(ifindex)[0]
    except NetlinkError as error:
        raise NotFound(f"interface {ifindex} is gone") from error
    # bpf_redirect_peer works into another namespace only.
    if _kind(link) != "veth" or link.get_attr("IFLA_LINK_NETNSID") is None:
        return Delivery.REDIRECT, f"{link.get_attr('IFLA_IFNAME')} is not a veth into another namespace"
    return Delivery.PEER, ""


def _route_to(route: Any, address: Address) -> int | None:
    """Index of the interface that the node sends packets for this address to; None where it has no route."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        found = list(route.route("get", dst=str(address), family=family))
    except NetlinkError:
        return None
    index: int | None = found[0].get_attr("RTA_OIF") if found else None
    return index


def node_addresses() -> frozenset[Address]:
    """All addresses of global scope here: what is the node itself to its workloads."""
    return frozenset(ask(_addresses))


def namespace_cookie(netns: str | int | Path | None = None) -> int:
    """The kernel's number of a namespace (None: here), unique until the machine restarts."""

    def ask_socket() -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")

    return inside(netns, ask_socket)
