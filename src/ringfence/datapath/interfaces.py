"""Facts about interfaces, asked of the kernel: the two sides of a workload's interface, and the node's own addresses.

"Here" is the network namespace of the calling thread, which holds the host sides.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, TypeAlias

from ringfence.datapath.netlink import Attributes, Message, Netlink, attribute, attributes
from ringfence.datapath.netns import inside, namespace_cookie, namespace_path
from ringfence.errors import NotFound, Unavailable

Address: TypeAlias = IPv4Address | IPv6Address

# linux/if_link.h, if_addr.h, net_namespace.h
_LINK: Final = struct.Struct("<BxHiII")
_GETLINK, _GETADDR, _GETNSID = 18, 22, 90
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_LINKINFO, _IFLA_LINK_NETNSID = 1, 3, 5, 18, 37
_IFLA_INFO_KIND: Final = 1
_IFA: Final = struct.Struct("<BBBBI")
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_NETNSA_NSID, _NETNSA_FD = 1, 3

_SCOPE_GLOBAL: Final = 0
_ADDRESS_FAILED: Final = 0x08  # IFA_F_DADFAILED: somebody else has it
_UNSPECIFIED: Final = -1


@dataclass(frozen=True, slots=True)
class Link:
    """An interface here. `peer_index` is of its other side, `peer_namespace` the number by which that side's namespace
    is known here, None where it is this one or there is no other side.
    """

    index: int
    name: str
    kind: str
    mac: bytes
    peer_index: int | None
    peer_namespace: int | None


@dataclass(frozen=True, slots=True)
class WorkloadInterface:
    """A workload's interface: its own side as it is in `netns`, and the host side here. MAC addresses are six bytes.

    `cookie` is the kernel's number of the workload's namespace: another namespace of the same name has another one.
    """

    netns: str
    name: str
    mac: bytes
    addresses: tuple[Address, ...]
    ifindex: int
    host_ifindex: int
    host_name: str
    host_mac: bytes
    cookie: int = 0


def links() -> list[Link]:
    """All interfaces here."""
    with Netlink() as netlink:
        return _links(netlink)


def _links(netlink: Netlink) -> list[Link]:
    return [_link(found) for found in netlink.dump(_GETLINK, bytes(_LINK.size), _LINK.size)]


def _link(found: Message) -> Link:
    info: Attributes = attributes(found.attributes.get(_IFLA_LINKINFO, b""))
    return Link(
        index=_LINK.unpack(found.head)[2],
        name=found.text(_IFLA_IFNAME),
        kind=info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
        mac=found.attributes.get(_IFLA_ADDRESS, bytes(6)),
        peer_index=found.number(_IFLA_LINK),
        peer_namespace=found.number(_IFLA_LINK_NETNSID),
    )


def workload_interface(netns: str | int | Path, interface: str = "eth0") -> WorkloadInterface:
    """Find both sides of a workload's veth. Addresses are those of global scope, in the kernel's order.

    Raises `NotFound` for a namespace or interface that is not there, `Unavailable` when the host side is not here.
    """
    path = namespace_path(netns)
    own, addresses = inside(path, lambda: _own_side(path, interface))
    host = host_side(path, own)
    if host is None:
        raise Unavailable(f"{interface} in {path} is not a veth whose other side is in the agent's network namespace")
    return WorkloadInterface(
        netns=str(netns),
        name=interface,
        mac=own.mac,
        addresses=tuple(addresses),
        ifindex=own.index,
        host_ifindex=host.index,
        host_name=host.name,
        host_mac=host.mac,
        cookie=namespace_cookie(path),
    )


def _own_side(path: Path, interface: str) -> tuple[Link, list[Address]]:
    with Netlink() as netlink:
        link = next((found for found in _links(netlink) if found.name == interface), None)
        if link is None:
            raise NotFound(f"there is no interface {interface} in {path}")
        return link, _addresses(netlink, link.index)


def _addresses(netlink: Netlink, index: int | None = None) -> list[Address]:
    """Those of global scope, of one interface or all."""
    found = []
    for message in netlink.dump(_GETADDR, bytes(_IFA.size), _IFA.size):
        _family, _length, _flags, scope, owner = _IFA.unpack(message.head)
        failed = (message.number(_IFA_FLAGS) or 0) & _ADDRESS_FAILED
        if scope == _SCOPE_GLOBAL and not failed and index in (None, owner):
            # On a point-to-point interface IFA_ADDRESS is the other end's.
            found.append(ip_address(message.attributes.get(_IFA_LOCAL) or message.attributes[_IFA_ADDRESS]))
    return found


def host_side(path: Path, own: Link) -> Link | None:
    """The link here that says the workload's one is its other side, in the workload's namespace."""
    with Netlink() as netlink:
        number = namespace_number(netlink, path)
        for link in _links(netlink):
            paired = (link.index, link.peer_index) == (own.peer_index, own.index)
            if paired and link.kind == "veth" and link.peer_namespace == number:
                return link
    return None


def namespace_number(netlink: Netlink, path: Path) -> int | None:
    """The number by which this namespace knows another; None for itself and for one it has no link to."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = netlink.ask(_GETNSID, bytes(4) + attribute(_NETNSA_FD, fd), 4)
    finally:
        os.close(fd)
    number = int.from_bytes(answer.attributes[_NETNSA_NSID], "little", signed=True) if answer else _UNSPECIFIED
    return None if number == _UNSPECIFIED else number


def addresses_of(index: int) -> list[Address]:
    """The addresses of global scope of an interface here, in the kernel's order."""
    with Netlink() as netlink:
        return _addresses(netlink, index)


def node_addresses() -> frozenset[Address]:
    """All addresses of global scope here: what is the node itself to its workloads."""
    with Netlink() as netlink:
        return frozenset(_addresses(netlink))
