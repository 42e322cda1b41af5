"""Two workloads behind the real programs, without an agent: entries are written as a test says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from ringfence.abi import Delivery, Direction, Reason
from ringfence.datapath import attach
from ringfence.datapath.loader import load
from ringfence.engine.commands import Peer, WriteEndpoint
from ringfence.policy.mapstate import PolicyKey
from tests.bpf.conftest import SMALL
from tests.bpf.host import Host, key
from tests.kernel.world import NODE_ADDRESSES, Node, Workload

FRONT, BACK, WORLD, NODE = 300, 301, 2, 1
FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])


@dataclass
class Pair:
    """Two workloads behind the real programs: `front` may send what a test allows, and both are isolated both ways."""

    host: Host
    node: Node
    front: Workload
    back: Workload

    def allow(self, protocol: int, port: int) -> tuple[PolicyKey, PolicyKey]:
        """Let the frontend open this traffic to the backend."""
        entries = (
            key(FRONT, Direction.EGRESS, BACK, protocol=protocol, port=port),
            key(BACK, Direction.INGRESS, FRONT, protocol=protocol, port=port),
        )
        for entry in entries:
            self.host.allow(entry)
        return entries

    def deliver(self, delivery: Delivery) -> None:
        """Say how packets get to both."""
        for endpoint in self.host.endpoints.values():
            self.host.table.set_delivery(endpoint.row, delivery)

    def reasons(self) -> set[Reason]:
        """Why packets were dropped since the last time."""
        return {Reason(int(reason)) for reason in self.host.ring.read()["reason"] if reason}


@contextmanager
def joined(node: Node, pins: Path) -> Iterator[Pair]:
    """Both workloads, with the programs attached."""
    front = node.add_workload("front", "10.77.1.1", "fd77:1::1")
    back = node.add_workload("back", "10.77.1.2", "fd77:1::2")
    with load({}, SMALL) as loaded, ExitStack() as detaching:
        host = Host(loaded)
        for name, identity, workload in (("front", FRONT, front), ("back", BACK, back)):
            row = host.add(name, identity, workload.ipv4, workload.ipv6).row
            side = workload.interface
            host.table.write(WriteEndpoint(row, row, workload.ifindex, side.mac, side.host_mac), Delivery.PEER)
            host.isolate(name, Direction.INGRESS)
            host.isolate(name, Direction.EGRESS)
            node.run(partial(attach.attach, loaded, workload.ifindex, pins))
            detaching.callback(node.run, partial(attach.detach, workload.ifindex, pins))
        host.known({address: Peer(NODE, 0, 0) for address in NODE_ADDRESSES})
        yield Pair(host, node, front, back)


def address_of(workload: Workload, family: int) -> str:
    return workload.ipv4 if family == 4 else workload.ipv6
