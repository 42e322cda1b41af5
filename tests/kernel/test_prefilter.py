"""The prefilter with real packets: a namespace that plays the world, behind the node's uplink."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from ringfence.lab import namespaces
from tests.kernel.agents import Agent, flows_of
from tests.kernel.world import NODE_ADDRESSES, UPLINK, Node, Workload, ask, open_socket, owned_name

PORT = 7070


@pytest.fixture
def world(node: Node) -> Workload:
    """Who is outside; its wire to the node is the uplink."""
    return node.join_world()


@pytest.fixture
def agent(node: Node, world: Workload, tmp_path: Path) -> Iterator[Agent]:
    """An agent that knows its uplink."""
    del world
    found = Agent(node, owned_name("prefilter"), tmp_path)
    try:
        found.start(found.command("--uplink", UPLINK))
        yield found
    finally:
        found.remove()


def reaches(world: Workload, node: Node, family: int = 0) -> bool:
    """Whether a datagram from the world comes to the node."""
    with closing(node.run(lambda: open_socket(socket.SOCK_DGRAM, NODE_ADDRESSES[family], PORT))) as server:
        server.settimeout(0.3)
        with closing(world.socket(address=(world.ipv4, world.ipv6)[family])) as client:
            client.sendto(b"hello", (NODE_ADDRESSES[family], PORT))
        try:
            return server.recv(16) == b"hello"
        except TimeoutError:
            return False


@pytest.mark.parametrize("family", [0, 1])
def test_what_is_on_the_list_does_not_come_in(agent: Agent, world: Workload, family: int) -> None:
    """From the next packet on after the answer, in both families, and again after it was deleted."""
    prefix = ("203.0.113.0/24", "2001:db8:113::/64")[family]
    assert reaches(world, agent.node, family)
    with agent.client() as api:
        api.add_prefixes([prefix])
        assert not reaches(world, agent.node, family)
        [listed] = api.prefixes()
        assert (listed["prefix"], listed["packets"]) == (prefix, 1)
        api.delete_prefixes([prefix])
    assert reaches(world, agent.node, family)


def test_a_drop_is_told_with_its_reason(agent: Agent, world: Workload) -> None:
    """`observe` names who was dropped, towards whom, and that it was the prefilter."""
    with agent.client() as api:
        api.add_prefixes(["203.0.113.0/24"])
        with api.events(type="drop") as stream:
            assert not reaches(world, agent.node)
            [flow] = flows_of(stream, 1, "UDP")
    assert (flow["reason"], flow["port"]) == ("prefilter", f"{PORT}/UDP")
    assert (flow["source"]["address"], flow["destination"]["address"]) == (world.ipv4, NODE_ADDRESSES[0])


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_it_drops_without_an_agent_and_after_its_return(agent: Agent, world: Workload, end: signal.Signals) -> None:
    """The list and the program stay in the kernel; the next agent knows both."""
    with agent.client() as api:
        api.add_prefixes(["203.0.113.0/24"])
    agent.end(end)
    assert not reaches(world, agent.node)
    agent.start(agent.command("--uplink", UPLINK))
    assert not reaches(world, agent.node)
    with agent.client() as api:
        assert [each["prefix"] for each in api.prefixes()] == ["203.0.113.0/24"]


def test_another_object_has_the_list_too(agent: Agent, world: Workload) -> None:
    """An agent with another size loads another object; it is filled before it takes the hook over."""
    with agent.client() as api:
        api.add_prefixes(["203.0.113.0/24"])
    agent.end()
    agent.start(agent.command("--uplink", UPLINK, "--map-size", "prefilter=1000"))
    assert not reaches(world, agent.node)


def test_an_uplink_that_is_none_any_more_is_let_go(agent: Agent, world: Workload) -> None:
    """An agent that is started without it takes the program off."""
    with agent.client() as api:
        api.add_prefixes(["203.0.113.0/24"])
    agent.end()
    agent.start(agent.command())
    assert reaches(world, agent.node)


def test_an_uplink_that_comes_back_is_guarded_again(agent: Agent, world: Workload) -> None:
    """An interface of that name, whatever its index, has the program as soon as it is there."""
    with agent.client() as api:
        api.add_prefixes(["203.0.113.0/24"])

        def remove(route: IPRoute) -> None:
            route.link("del", ifname=UPLINK)

        before = len(agent.said)
        ask(remove, agent.node.namespace)
        agent.hear("uplink_not_guarded", before)
        namespaces.remove(world.namespace)
        before = len(agent.said)
        again = agent.node.join_world()
        agent.hear("uplink_guarded", before)
        assert not reaches(again, agent.node)
        [uplink] = api.prefilter()["uplinks"]
        assert (uplink["name"], uplink["problem"]) == (UPLINK, None)
