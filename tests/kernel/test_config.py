"""Which packets are events, set at run time: for the host and for one endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.kernel.agents import Agent
from tests.kernel.world import Node, Workload, answers, owned_name

MANY = 200
AddWorkload = Callable[[str, str, str], Workload]


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    """An agent that manages three workloads, with events switched off."""
    found = Agent(node, owned_name("config"), tmp_path)
    try:
        found.start(found.command("--aggregation", "off"))
        for number, name in enumerate(("client", "server", "other"), 1):
            found.add(add_workload(name, f"10.77.1.{number}", f"fd77:1::{number}"), name, f"app={name}")
        yield found
    finally:
        found.remove()


def told(agent: Agent, source: str, destination: str) -> str:
    """How many events many datagrams of one flow make: none, few, or one each. An interface sends some of its own."""
    workloads = agent.node.workloads
    to = workloads[destination]
    with agent.client() as api:
        before = api.status()["events"]["seen"]
        with closing(to.socket(address=to.ipv4, port=7000)), closing(workloads[source].socket()) as out:
            for _ in range(MANY):
                out.sendto(b"hi", (to.ipv4, 7000))
        made = api.status()["events"]["seen"] - before
    return "one each" if made >= MANY else "few" if made else "none"


def test_host_setting_counts_for_the_next_packet(agent: Agent) -> None:
    """Nothing, then a new connection's verdict, then every packet is told, as the setting says."""
    assert "none" == told(agent, "client", "server")
    with agent.client() as api:
        api.configure(aggregation="verdicts")
        assert "few" == told(agent, "client", "server")
        api.configure(aggregation="packets")
        assert "one each" == told(agent, "client", "server")


def test_endpoint_setting_is_its_own_and_survives_a_restart(agent: Agent) -> None:
    """Packets from and to one endpoint are told one by one, others' are not; so it is after a restart."""
    with agent.client() as api:
        api.configure_endpoint("server", aggregation="packets")
        assert "packets" == api.endpoint("server")["aggregation"]
    assert "one each" == told(agent, "client", "server")
    assert "one each" == told(agent, "server", "client")
    assert "one each" != told(agent, "client", "other")
    agent.end()
    agent.start(agent.command("--aggregation", "off"))
    assert "one each" == told(agent, "client", "server")
    assert "one each" != told(agent, "other", "client")
    with agent.client() as api:
        assert {"server": "packets"} == api.status()["aggregations"]
        assert api.verify()["equal"]
        api.configure_endpoint("server", aggregation="host")
    assert "none" == told(agent, "client", "server")


def test_delivery_stays_as_it_is(agent: Agent) -> None:
    """Another aggregation changes nothing of how packets get to an endpoint."""
    with agent.client() as api:
        before = api.endpoint("server")["delivery"]
        api.configure_endpoint("server", aggregation="verdicts")
        assert before == api.endpoint("server")["delivery"]
        assert api.verify()["equal"]
    assert answers(agent.node.workloads["client"], agent.node.workloads["server"])
