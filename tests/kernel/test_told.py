"""What a running agent tells of real traffic: connections by their beginning and end, floods as a number."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.kernel.agents import Agent
from tests.kernel.world import Workload, answers

FLOOD = 5000
DENY_ALL = """---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: closed, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "7777"}]}]
"""


@pytest.fixture
def started(agent: Agent, client: Workload, server: Workload) -> Agent:
    agent.start(agent.command("--ct-timeout-any", "1"))
    agent.add(client, "client", "app=client")
    agent.add(server, "server", "app=server")
    return agent


def until(stream: Iterator[Any], wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The flows up to the first that is wanted. The stream waits for ever: the tests' own time limit is the end."""
    found: list[dict[str, Any]] = []
    for flow in stream:
        assert "lost" not in flow
        found.append(flow)
        if wanted(flow):
            return found
    raise AssertionError("the stream ended")


def talk(client: Workload, server: Workload, text: bytes) -> None:
    """One TCP connection: a question, its echo, and the end from both sides."""
    with closing(server.socket(socket.SOCK_STREAM, server.ipv4, 7777)) as listening:
        listening.listen()
        with closing(client.socket(socket.SOCK_STREAM)) as opener:
            opener.connect((server.ipv4, 7777))
            accepted, _ = listening.accept()
            with closing(accepted):
                opener.sendall(text)
                accepted.sendall(accepted.recv(len(text), socket.MSG_WAITALL))
                assert text == opener.recv(len(text), socket.MSG_WAITALL)
                opener.shutdown(socket.SHUT_WR)
                assert b"" == accepted.recv(1)
                accepted.shutdown(socket.SHUT_WR)
                assert b"" == opener.recv(1)


def test_a_tcp_connection_is_told_by_its_beginning_and_its_end(
    started: Agent, client: Workload, server: Workload
) -> None:
    """However much is said in between: opened, answered, each side's last, and with the last the totals."""
    text = bytes(100_000)
    with started.client() as api, api.events(to=["server", "client"], port="7777/TCP") as stream:
        talk(client, server, text)
        found = until(stream, lambda flow: flow["kind"] == "close")
    assert ["verdict", "flags", "flags", "close"] == [flow["kind"] for flow in found]
    assert ["SYN", "SYN,ACK"] == [flow["tcp_flags"] for flow in found[:2]]
    close = found[-1]
    assert all(size > len(text) for size in close["bytes"])
    assert all(packets > 3 for packets in close["packets"])


def test_a_udp_flow_ends_by_time(started: Agent, client: Workload, server: Workload) -> None:
    """Nobody's packet shows the end of a UDP flow; it is told all the same, with its totals, as the opener's."""
    with started.client() as api, api.events(port="7777/UDP") as stream:
        assert answers(client, server)
        close = until(stream, lambda flow: flow["kind"] == "close")[-1]
    assert ("client", "server") == (close["source"]["endpoint"], close["destination"]["endpoint"])
    assert ([1, 1], [36, 34]) == (close["packets"], close["bytes"])


def test_a_flood_is_a_number_and_hides_nobody(started: Agent, client: Workload, server: Workload) -> None:
    """Each denied packet is in exactly one event's number; another denial is told all the same; the counters agree."""
    started.apply("closed.yaml", DENY_ALL)
    with started.client() as api, api.events(type="drop") as stream:
        with closing(client.socket()) as out:
            for _ in range(FLOOD):
                out.sendto(b"flood", (server.ipv4, 9))
            out.sendto(b"other", (server.ipv4, 10))
        other = until(stream, lambda flow: flow["port"] == "10/UDP")
        told = sum(flow["packets"][0] for flow in other if flow["port"] == "9/UDP")
        events = len(other)
        while told < FLOOD:
            flow = until(stream, lambda each: each["port"] == "9/UDP")[-1]
            told, events = told + flow["packets"][0], events + 1
        state = api.status()
    assert FLOOD == told
    assert events < FLOOD // 10
    assert state["events"]["held_back"] >= FLOOD - events
    assert FLOOD + 1 == sum(drop["packets"] for drop in state["drops"] if drop["reason"] == "policy denied")
