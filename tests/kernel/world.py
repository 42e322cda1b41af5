"""A small world of namespaces for tests with real packets: one that plays the node, and workloads joined to it.

Names carry the number of the process that made them, so that what a killed run left behind can be told from what a
running one is using.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute

from ringfence.datapath import netns
from ringfence.datapath.interfaces import WorkloadInterface, workload_interface
from ringfence.datapath.loader import PIN_ROOT, unpin
from ringfence.lab import namespaces
from ringfence.lab.wiring import Wire, connect, make_node

PREFIX = "rf-k"
NODE_ADDRESSES = ("10.77.0.1", "fd77::1")
WORLD_ADDRESSES = ("203.0.113.1", "2001:db8:113::1")
UPLINK_NUMBER = 99
UPLINK = f"rf{UPLINK_NUMBER}"
Result = TypeVar("Result")


def owned_name(name: str) -> str:
    """A name of this process: for a namespace, and for an instance whose pins have no dots in their names."""
    return f"{PREFIX}{os.getpid()}-{name}"


def _abandoned(name: str) -> bool:
    found = re.match(rf"{PREFIX}(\d+)-", name)
    return found is not None and not Path(f"/proc/{found[1]}").exists()


def remove_leftovers() -> None:
    """Remove the namespaces and pins of test runs that no longer run."""
    for name in filter(_abandoned, namespaces.named(PREFIX)):
        namespaces.remove(name)
    instances = PIN_ROOT.iterdir() if PIN_ROOT.is_dir() else ()
    for instance in [path for path in instances if _abandoned(path.name)]:
        for directory in list(instance.iterdir()):
            unpin(directory)


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload: its namespace, its addresses, and both sides of its interface as the node sees them."""

    namespace: str
    ipv4: str
    ipv6: str
    interface: WorkloadInterface

    @property
    def ifindex(self) -> int:
        """Index of the host side, in the node."""
        return self.interface.host_ifindex

    def run(self, work: Callable[[], Result]) -> Result:
        """Do some work inside the workload's namespace; sockets made there stay there."""
        return namespaces.inside(self.namespace, work)

    def socket(self, kind: socket.SocketKind = socket.SOCK_DGRAM, address: str = "", port: int = 0) -> socket.socket:
        """A socket of this workload with a timeout of 2 s, bound when an address is given (default family IPv4)."""
        return self.run(lambda: open_socket(kind, address, port))


def open_socket(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    """A socket of the calling thread's namespace."""
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    opened.settimeout(2)
    if address:
        opened.bind((address, port))
    return opened


@dataclass(slots=True)
class Node:
    """The namespace that plays the node."""

    namespace: str
    workloads: dict[str, Workload] = field(default_factory=dict)

    def make(self) -> None:
        """Make the namespace, with the node's own addresses."""
        make_node(self.namespace, [ip_address(address) for address in NODE_ADDRESSES])

    def run(self, work: Callable[[], Result]) -> Result:
        """Do some work inside the node, in a thread of its own: interfaces are attached and looked up there."""
        return namespaces.inside(self.namespace, work)

    def add_workload(self, name: str, ipv4: str, ipv6: str) -> Workload:
        """A workload behind a veth of the node, with routes to it and permanent neighbours."""
        namespace = f"{self.namespace}-{name}"
        wire = Wire(namespace, len(self.workloads) + 1, (ip_address(ipv4), ip_address(ipv6)))
        # Noted first, so that it is removed also when joining it fails half-way.
        self.workloads[name] = Workload(namespace, ipv4, ipv6, WorkloadInterface("", "", b"", (), 0, 0, "", b""))
        connect(self.namespace, wire)
        interface = self.run(lambda: workload_interface(namespace))
        self.workloads[name] = Workload(namespace, ipv4, ipv6, interface)
        return self.workloads[name]

    def join_world(self) -> Workload:
        """Somebody outside, and the wire by which the node is reached: its side here is the interface `UPLINK`."""
        namespace = f"{self.namespace}-world"
        outside = Workload(namespace, *WORLD_ADDRESSES, WorkloadInterface("", "", b"", (), 0, 0, "", b""))
        self.workloads["world"] = outside
        connect(self.namespace, Wire(namespace, UPLINK_NUMBER, tuple(map(ip_address, WORLD_ADDRESSES))))
        return outside

    def remove(self) -> None:
        """Remove all of it; what is not there is no error."""
        for workload in self.workloads.values():
            namespaces.remove(workload.namespace)
        namespaces.remove(self.namespace)


def ask(work: Callable[[Any], Result], namespace: str | None = None) -> Result:
    """Give a pyroute2 IPRoute of a namespace (None: the thread's) to some work, in a thread that runs no loop."""

    def with_socket() -> Result:
        with closing(IPRoute()) as route:
            return work(route)

    return netns.inside(namespace, with_socket)


def answers(sender: Workload, receiver: Workload, port: int = 7777) -> bool:
    """Whether a datagram gets from one workload to another and back."""
    with closing(receiver.socket(address=receiver.ipv4, port=port)) as server, closing(sender.socket()) as client:
        server.settimeout(0.3)
        client.sendto(b"question", (receiver.ipv4, port))
        try:
            _text, asker = server.recvfrom(64)
            server.sendto(b"answer", asker)
            client.settimeout(0.3)
            return client.recv(64) == b"answer"
        except TimeoutError:
            return False
