"""What changes in the node while the agent runs: how packets are delivered follows its routes and filters."""

from __future__ import annotations

import ctypes
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.agents import Agent, policy
from tests.kernel.world import Node, Workload, answers, ask, owned_name

PEERS = {"client": "peer", "server": "peer"}


@pytest.fixture
def agent(node: Node, tmp_path: Path) -> Iterator[Agent]:
    """An agent that manages a client and a server, each reached as a peer."""
    found = Agent(node, owned_name("news"), tmp_path)
    try:
        found.start()
        for name, ipv4, ipv6 in (("client", "10.77.4.1", "fd77:4::1"), ("server", "10.77.4.2", "fd77:4::2")):
            found.add(node.add_workload(name, ipv4, ipv6), name, f"app={name}")
        yield found
    finally:
        found.remove()


def delivery(agent: Agent) -> dict[str, str]:
    """How each endpoint is delivered to, as the agent says."""
    with agent.client() as api:
        return {each["endpoint"]: each["delivery"] for each in api.status()["attach"]}


def reasons(agent: Agent) -> set[str]:
    """Why, as `status` says."""
    with agent.client() as api:
        return {each["delivery_reason"] for each in api.status()["attach"]}


@contextmanager
def noticed(agent: Agent, *, changes: int) -> Iterator[None]:
    """Return from the block once the agent has told of so many changed deliveries."""
    before = len(agent.said)
    yield
    for _ in range(changes):
        agent.hear("delivery_changed", before)
        before = next(n for n, line in enumerate(agent.said) if n >= before and "delivery_changed" in line) + 1


def nft(node: Node, *commands: str) -> None:
    """Filter rules of the node."""
    node.run(lambda: [subprocess.run(["nft", *command.split()], check=True) for command in commands])


def test_a_forward_rule_counts_as_soon_as_it_is_there(agent: Agent, node: Node) -> None:
    """A filter rule that the node gets while peers talk past its stack is applied to them, until it is gone."""
    client, server = (node.workloads[name] for name in ("client", "server"))
    assert delivery(agent) == PEERS
    assert answers(client, server)
    with noticed(agent, changes=2):
        nft(node, "add table inet t", "add chain inet t f { type filter hook forward priority 0; }")
        nft(node, "add rule inet t f udp dport 7777 drop")
    assert delivery(agent) == {"client": "stack", "server": "stack"}
    assert reasons(agent) == {"the node filters forwarded packets: nftables chain inet t f"}
    assert not answers(client, server, 7777)
    assert answers(client, server, 7778)
    with noticed(agent, changes=2):
        nft(node, "delete table inet t")
    assert (delivery(agent), reasons(agent)) == (PEERS, {""})
    assert answers(client, server, 7777)


def test_a_table_of_legacy_iptables_counts(agent: Agent, node: Node) -> None:
    """The kernel tells nobody of tables of iptables-legacy; the agent finds them all the same."""
    with noticed(agent, changes=2):
        node.run(_make_legacy_filter_table)
    assert delivery(agent) == {"client": "stack", "server": "stack"}
    assert reasons(agent) == {"the node filters forwarded packets: iptables table filter"}


def _make_legacy_filter_table() -> None:
    """What `iptables-legacy -L` does first: asking for the filter table makes it."""
    asked = ctypes.create_string_buffer(b"filter", 84)  # struct ipt_getinfo
    size = ctypes.c_uint32(len(asked))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as opened:
        assert 0 == ctypes.CDLL(None).getsockopt(opened.fileno(), socket.SOL_IP, 64, asked, ctypes.byref(size))


def test_a_route_that_leads_elsewhere(agent: Agent, node: Node) -> None:
    """An endpoint whose address the node sends elsewhere is left to the stack, and a peer again with its route."""
    server = node.workloads["server"]

    def route(command: str) -> Callable[[Any], object]:
        return lambda tables: tables.route(command, dst=f"{server.ipv4}/32", oif=server.ifindex, scope=253)

    with noticed(agent, changes=1):
        ask(route("del"), node.namespace)
    assert delivery(agent) == {**PEERS, "server": "stack"}
    assert f"the node's route to {server.ipv4} does not lead to the interface" in reasons(agent)
    with noticed(agent, changes=1):
        ask(route("add"), node.namespace)
    assert delivery(agent) == PEERS
    assert answers(node.workloads["client"], server)


def test_a_routing_rule_that_leads_elsewhere(agent: Agent, node: Node) -> None:
    """Policy routing counts as routes do."""
    with noticed(agent, changes=2):
        ask(lambda tables: tables.rule("add", priority=10, action="blackhole"), node.namespace)
    assert delivery(agent) == {"client": "stack", "server": "stack"}
    with noticed(agent, changes=2):
        ask(lambda tables: tables.rule("del", priority=10, action="blackhole"), node.namespace)
    assert delivery(agent) == PEERS


def test_addresses_are_those_when_it_was_put_last(agent: Agent, node: Node) -> None:
    """An address that a workload gives itself is not its own for us, until somebody puts the endpoint again."""
    client, server = (node.workloads[name] for name in ("client", "server"))
    more = Workload(client.namespace, "10.77.4.9", client.ipv6, client.interface)
    _give(client, more.ipv4)
    ask(lambda tables: tables.route("add", dst=f"{more.ipv4}/32", oif=client.ifindex, scope=253), node.namespace)
    agent.apply("open.yaml", policy("server", "server", "ingress", "client", 7777))
    assert not answers_from(more, server)
    agent.add(client, "client", "app=client")
    with agent.client() as api:
        assert api.endpoint("client")["addresses"] == ["10.77.4.1", "10.77.4.9", "fd77:4::1"]
    assert answers_from(more, server)
    assert delivery(agent) == PEERS


def _give(workload: Workload, address: str) -> None:
    def add(tables: Any) -> None:
        index = tables.link_lookup(ifname="eth0")[0]
        tables.addr("add", index=index, address=address, prefixlen=32)

    ask(add, workload.namespace)


def answers_from(sender: Workload, receiver: Workload) -> bool:
    """Whether a datagram from the sender's first address gets through and back."""
    server = receiver.socket(address=receiver.ipv4, port=7777)
    client = sender.socket(address=sender.ipv4)
    with server, client:
        server.settimeout(0.3)
        client.sendto(b"question", (receiver.ipv4, 7777))
        try:
            return server.recv(64) == b"question"
        except TimeoutError:
            return False
