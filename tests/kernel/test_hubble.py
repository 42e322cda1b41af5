"""Hubble's API of a real agent, told of real packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from ringfence.hubble.wire import flow_pb2, observer_pb2
from tests.kernel.agents import Agent, policy
from tests.kernel.world import Workload, answers

ALLOW = policy("server", "server", "ingress", "client", 7777)


def flows(agent: Agent, **asked: Any) -> Iterator[observer_pb2.GetFlowsResponse]:
    """All flows from the beginning on, those to come too."""
    with grpc.insecure_channel(f"unix:/run/ringfence/{agent.instance}/hubble.sock") as channel:
        call: Any = channel.unary_stream(
            "/observer.Observer/GetFlows",
            observer_pb2.GetFlowsRequest.SerializeToString,
            observer_pb2.GetFlowsResponse.FromString,
        )
        request = observer_pb2.GetFlowsRequest(since={"seconds": 1}, follow=True, **asked)
        yield from call(request, timeout=30)


def test_a_denied_packet_names_the_denying_policy(
    agent: Agent, add_workload: Callable[[str, str, str], Workload]
) -> None:
    """A client of Hubble's that asks for what is dropped is told who, to whom, which port, and by which policy and
    line; what is allowed names the policy that allows.
    """
    agent.start()
    client = add_workload("client", "10.77.1.1", "fd77:1::1")
    server = add_workload("server", "10.77.1.2", "fd77:1::2")
    agent.add(client, "client", "app=client")
    agent.add(server, "shop/server", "app=server")
    agent.apply("allow.yaml", ALLOW)
    assert answers(client, server, 7777)
    assert not answers(client, server, 7778)

    dropped = flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED], protocol=["udp"])
    denied = next(flows(agent, whitelist=[dropped])).flow
    [by] = denied.ingress_denied_by
    assert ("CiliumNetworkPolicy", "default", "server") == (by.kind, by.namespace, by.name)
    assert by.labels[0].startswith("ringfence.io/origin=allow.yaml:")
    assert flow_pb2.POLICY_DENIED == denied.drop_reason_desc
    assert ("default", "client") == (denied.source.namespace, denied.source.pod_name)
    assert ("shop", "server") == (denied.destination.namespace, denied.destination.pod_name)
    assert "k8s:app=server" in denied.destination.labels
    assert (client.ipv4, server.ipv4, 7778) == (denied.IP.source, denied.IP.destination, denied.l4.UDP.destination_port)
    assert [5, flow_pb2.INGRESS] == [denied.event_type.type, denied.traffic_direction]

    to_port = flow_pb2.FlowFilter(destination_port=["7777"])
    allowed = next(flows(agent, whitelist=[to_port])).flow
    assert ["server"] == [each.name for each in allowed.ingress_allowed_by]
    assert flow_pb2.FORWARDED == allowed.verdict
    # Clients that came and went were nothing to speak of.
    assert [] == [line for line in agent.said if "[info" not in line]


def test_an_agent_without_hubble_has_no_such_socket(agent: Agent) -> None:
    """--no-hubble leaves it out."""
    agent.start(agent.command("--no-hubble"))
    assert not Path("/run/ringfence", agent.instance, "hubble.sock").exists()


def test_an_address_that_others_reach_is_refused(agent: Agent) -> None:
    """The agent says so in one line and does not start."""
    refused = agent.spawn(agent.command("--hubble-listen", "0.0.0.0:4245"))
    _, told = refused.communicate(timeout=20)
    assert 2 == refused.returncode
    assert "other hosts may reach 0.0.0.0" in told
    assert 1 == len(told.splitlines())
