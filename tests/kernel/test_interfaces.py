"""Facts about interfaces of a node and its workloads, as the kernel has them."""

from __future__ import annotations

import select
import subprocess
from ipaddress import ip_address
from typing import Any

import pytest

from ringfence.abi import Delivery
from ringfence.datapath.delivery import deliveries
from ringfence.datapath.interfaces import Address, node_addresses, workload_interface
from ringfence.datapath.linkwatch import LinkChange, LinkWatch
from ringfence.datapath.netns import namespace_cookie
from ringfence.errors import NotFound, Unavailable
from tests.kernel.conftest import MakeNode
from tests.kernel.world import NODE_ADDRESSES, Node, Workload, ask


@pytest.fixture
def workload(node: Node) -> Workload:
    return node.add_workload("w", "10.77.1.1", "fd77::11")


def delivery(node: Node, ifindex: int, *addresses: str) -> tuple[Delivery, str]:
    wanted: tuple[Address, ...] = tuple(map(ip_address, addresses))
    return node.run(lambda: deliveries({ifindex: wanted})[ifindex])


def test_both_sides_are_found(node: Node, workload: Workload) -> None:
    """A workload's addresses are its global ones in both families, its host side the veth's other end here."""
    found = workload.interface
    assert (ip_address("10.77.1.1"), ip_address("fd77::11")) == found.addresses
    link = ask(lambda route: route.get_links(found.host_ifindex)[0], node.namespace)
    assert found.host_name == link.get_attr("IFLA_IFNAME")
    assert found.host_mac.hex(":") == link.get_attr("IFLA_ADDRESS")
    assert found.mac != found.host_mac


def test_equal_indexes_in_another_node_are_not_mistaken(make_node: MakeNode) -> None:
    """A workload of another node is not found here, though an interface here has the same numbers."""
    here, there = make_node("here"), make_node("there")
    here.add_workload("w", "10.77.1.1", "fd77::11")
    elsewhere = there.add_workload("w", "10.77.1.1", "fd77::11")
    with pytest.raises(Unavailable, match="not a veth whose other side"):
        here.run(lambda: workload_interface(elsewhere.namespace))


def test_what_is_not_there_is_named(node: Node, workload: Workload) -> None:
    """A missing interface and a missing namespace are told by name."""
    with pytest.raises(NotFound, match="no interface eth9"):
        node.run(lambda: workload_interface(workload.namespace, "eth9"))
    with pytest.raises(NotFound, match="rf-nowhere"):
        node.run(lambda: workload_interface("rf-nowhere"))


def test_peer_where_the_stack_would_deliver_too(node: Node, workload: Workload) -> None:
    """Direct delivery needs the node's routes for all addresses to lead to the interface."""
    assert (Delivery.PEER, "") == delivery(node, workload.ifindex, "10.77.1.1", "fd77::11")
    astray = delivery(node, workload.ifindex, "10.77.1.1", "10.78.0.1")
    assert (Delivery.STACK, "the node's route to 10.78.0.1 does not lead to the interface") == astray


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (["nft add table inet t", "nft add chain inet t f { type filter hook forward priority 0; }"], Delivery.PEER),
        (
            ["nft add table inet t", "nft add chain inet t f { type filter hook forward priority 0; policy drop; }"],
            Delivery.STACK,
        ),
        (
            [
                "nft add table ip t",
                "nft add chain ip t f { type filter hook forward priority 0; }",
                "nft add rule ip t f drop",
            ],
            Delivery.STACK,
        ),
        (
            [
                "nft add table inet t",
                "nft add chain inet t i { type filter hook input priority 0; }",
                "nft add rule inet t i drop",
            ],
            Delivery.PEER,
        ),
    ],
    ids=["empty", "policy", "rule", "other-hook"],
)
def test_forward_rules_forbid_the_short_way(
    node: Node, workload: Workload, commands: list[str], expected: Delivery
) -> None:
    """Where the node filters forwarded packets, all go through the stack; an empty chain filters nothing."""
    node.run(lambda: [subprocess.run(command.split(), check=True) for command in commands])
    chosen, why = delivery(node, workload.ifindex, "10.77.1.1")
    assert expected == chosen
    assert bool(why) == (expected is Delivery.STACK)


def test_other_interfaces_are_delivered_to_by_redirect(node: Node) -> None:
    """An interface that is no veth into another namespace cannot be reached as a peer."""

    def add_pair(route: Any) -> int:
        route.link("add", ifname="left", kind="veth", peer="right")
        index: int = route.link_lookup(ifname="left")[0]
        for name in ("left", "right"):
            route.link("set", index=route.link_lookup(ifname=name)[0], state="up")
        route.route("add", dst="10.79.0.1/32", oif=index)
        return index

    index = ask(add_pair, node.namespace)
    assert delivery(node, index, "10.79.0.1")[0] is Delivery.REDIRECT


def test_node_addresses_are_the_global_ones(node: Node, workload: Workload) -> None:
    """The node's own addresses are those of global scope on any of its interfaces, not its workloads'."""
    assert workload.ifindex
    assert {ip_address(address) for address in NODE_ADDRESSES} == node.run(node_addresses)


def test_cookie_tells_namespaces_apart(node: Node, workload: Workload) -> None:
    """The same namespace has the same cookie from anywhere, another one another."""
    assert node.run(namespace_cookie) == namespace_cookie(node.namespace)
    assert namespace_cookie(workload.namespace) != namespace_cookie(node.namespace)


def test_vanished_interface_is_news(node: Node, workload: Workload) -> None:
    """When a workload's namespace takes its interface away, the node hears of it."""
    with node.run(LinkWatch) as watch:
        assert [] == watch.read()
        ask(lambda route: route.link("del", index=workload.interface.ifindex), workload.namespace)
        poll = select.poll()
        poll.register(watch.fileno(), select.POLLIN)
        changes: list[LinkChange] = []
        while not any(change.gone for change in changes) and poll.poll(2000):
            changes += watch.read()
    assert LinkChange(workload.ifindex, gone=True) in changes
