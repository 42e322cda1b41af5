"""What is scraped from a real agent, held against the packets that were sent."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from socket import SO_LINGER, SOCK_STREAM, SOL_SOCKET
from time import monotonic

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ringfence.datapath import attach
from ringfence.datapath.loader import PIN_ROOT
from tests.kernel.agents import Agent, policy
from tests.kernel.world import Node, Workload, owned_name
from tests.promtool import promtool

Scraped = dict[str, dict[tuple[str, ...], float]]
ALLOW = policy("server", "server", "ingress", "client", 7777)
TCP = ALLOW.replace("UDP", "TCP")
RULE = ("ingress", "allow.yaml:8", "CiliumNetworkPolicy/default/server", "allow")
WAIT_SECONDS = 20.0


class Metrics:
    """The metrics of an agent, scraped on its port from inside the node."""

    def __init__(self, agent: Agent) -> None:
        found = re.search(r"metrics=\('127\.0\.0\.1', (\d+)\)", agent.said[-1])
        assert found
        self._agent = agent
        self._url = f"http://127.0.0.1:{found[1]}/metrics"

    def text(self) -> bytes:
        return self._agent.node.run(lambda: httpx.get(self._url)).content

    def scrape(self) -> Scraped:
        """By name, by the values of the labels in alphabetical order of their names."""
        found: Scraped = {}
        for family in text_string_to_metric_families(self.text().decode()):
            for sample in family.samples:
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    def until(self, enough: Callable[[Scraped], bool]) -> Scraped:
        """The first scrape that has something: one within a second of another tells the same."""
        end = monotonic() + WAIT_SECONDS
        while not enough(found := self.scrape()):
            assert monotonic() < end, f"not within {WAIT_SECONDS} s"
        return found


@pytest.fixture
def agent(node: Node, client: Workload, server: Workload, tmp_path: Path) -> Iterator[Agent]:
    found = Agent(node, owned_name("agent"), tmp_path)
    try:
        found.start(found.command("--metrics-listen", "127.0.0.1:0"))
        found.add(client, "client", "app=client")
        found.add(server, "server", "app=server")
        yield found
    finally:
        found.remove()


@pytest.fixture
def metrics(agent: Agent) -> Metrics:
    return Metrics(agent)


def send(client: Workload, server: Workload, port: int, count: int) -> None:
    """Datagrams of 30 bytes with their headers, none of which is answered."""
    with closing(server.socket(address=server.ipv4, port=port)), closing(client.socket()) as out:
        for _ in range(count):
            out.sendto(b"hi", (server.ipv4, port))


def test_verdicts_grow_by_the_packets_sent(agent: Agent, metrics: Metrics, client: Workload, server: Workload) -> None:
    """Scraped verdicts are those of `ringfence status`, and grow by exactly the packets that were sent."""
    agent.apply("allow.yaml", ALLOW)
    before = metrics.scrape()
    send(client, server, 7777, 70)
    send(client, server, 7778, 30)
    passed, denied = ("egress", "forwarded", "allow"), ("ingress", "policy denied", "deny")
    verdicts, sizes = "ringfence_verdicts_total", "ringfence_verdict_bytes_total"
    after = metrics.until(lambda found: found[verdicts][denied] == before[verdicts][denied] + 30)
    assert 70 == after[verdicts][passed] - before[verdicts][passed]
    assert 70 * 30 == after[sizes][passed] - before[sizes][passed]
    assert 30 * 30 == after[sizes][denied] - before[sizes][denied]
    with agent.client() as api:
        status = api.status()
    allowed = sum(count for (_, _, verdict), count in after[verdicts].items() if verdict == "allow")
    dropped = sum(count for (_, _, verdict), count in after[verdicts].items() if verdict == "deny")
    assert status["counters"] == {"allowed": allowed, "denied": dropped}
    assert status["events"]["seen"] == after["ringfence_events_total"][()]
    assert 70 == after["ringfence_rule_packets_total"][RULE]


def test_a_rules_packets_are_its_own(agent: Agent, metrics: Metrics, client: Workload, server: Workload) -> None:
    """Over deletion, an entry by hand in its place and coming back, a rule counts what it decided and nothing else."""
    agent.apply("allow.yaml", ALLOW)
    send(client, server, 7777, 10)
    with agent.client() as api:
        entry = next(each for each in api.entries() if each["port"] == 7777)
        subject, peer = entry["subject"], entry["peer"]
        api.set_entry(
            {"direction": "ingress", "subject": subject, "peer": peer, "port": 7777, "protocol": 17, "action": "deny"}
        )
        send(client, server, 7777, 4)
        api.delete_policies(["server"])
        send(client, server, 7777, 5)
        api.delete_entry({"direction": "ingress", "subject": subject, "peer": peer, "port": 7777, "protocol": 17})
    send(client, server, 7777, 6)
    agent.apply("allow.yaml", ALLOW)
    send(client, server, 7777, 3)
    found = metrics.until(lambda found: found["ringfence_rule_packets_total"].get(RULE) == 13)
    assert 9 == found["ringfence_rule_packets_total"]["ingress", "manual", "manual", "deny"]
    assert 6 == found["ringfence_rule_packets_total"]["ingress", "built-in", "default", "allow"]
    assert 13 * 30 == found["ringfence_rule_bytes_total"][RULE]


def test_maps_and_connections_are_counted(agent: Agent, metrics: Metrics, client: Workload, server: Workload) -> None:
    """Connections and entries are as many as the maps hold; one that was reset is an entry, but no connection."""
    agent.apply("allow.yaml", TCP)
    with closing(server.socket(SOCK_STREAM, server.ipv4, 7777)) as listening:
        listening.listen()
        with closing(client.socket(SOCK_STREAM)) as stays, closing(client.socket(SOCK_STREAM)) as ends:
            for each in (stays, ends):
                each.connect((server.ipv4, 7777))
            ends.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
            ends.close()
            found = metrics.until(lambda found: found["ringfence_map_entries"]["ct4",] == 2)
            assert {("ipv4",): 1, ("ipv6",): 0} == found["ringfence_connections"]
            assert 1 / found["ringfence_map_max_entries"]["ct4",] == found["ringfence_map_pressure"]["ct4",]
    with agent.client() as api:
        held = {each["name"]: each["entries"] or 0 for each in api.maps()}
    assert held["ct4"] == found["ringfence_map_entries"]["ct4",]
    assert held["policy"] == found["ringfence_map_entries"]["policy",]
    assert held["ipcache"] + held["ipcache_exact"] == found["ringfence_map_entries"]["ipcache",]


def test_enforcement_is_timed_by_real_packets(
    agent: Agent, metrics: Metrics, client: Workload, server: Workload
) -> None:
    """The first packet after a commit ends its time to enforcement."""
    agent.apply("allow.yaml", ALLOW)
    send(client, server, 7777, 1)
    found = metrics.until(
        lambda found: (
            found["ringfence_policy_enforcement_duration_seconds_count"][()]
            == found["ringfence_policy_commits_total"][()]
        )
    )
    assert found["ringfence_policy_commits_total"][()] >= 3


def test_missing_programs_are_told(agent: Agent, metrics: Metrics, client: Workload, node: Node) -> None:
    """An interface that somebody has taken our programs from is counted."""
    assert 0 == metrics.scrape()["ringfence_endpoints_programs_missing"][()]
    (directory,) = (PIN_ROOT / agent.instance).iterdir()
    node.run(lambda: attach.detach(client.ifindex, directory))
    metrics.until(lambda found: found["ringfence_endpoints_programs_missing"][()] == 1)


def test_a_restart_keeps_what_the_kernel_counts(
    agent: Agent, metrics: Metrics, client: Workload, server: Workload
) -> None:
    """After a restart verdicts go on where they were; rules, which the agent adds up, begin at zero."""
    agent.apply("allow.yaml", ALLOW)
    send(client, server, 7777, 5)
    before = metrics.until(lambda found: found["ringfence_rule_packets_total"][RULE] == 5)
    agent.end()
    agent.start(agent.command("--metrics-listen", "127.0.0.1:0"))
    after = Metrics(agent).scrape()
    assert before["ringfence_verdicts_total"] == after["ringfence_verdicts_total"]
    assert 0 == after["ringfence_rule_packets_total"][RULE]
    send(client, server, 7777, 2)
    Metrics(agent).until(lambda found: found["ringfence_rule_packets_total"][RULE] == 2)


def test_prometheus_finds_no_fault(agent: Agent, metrics: Metrics, client: Workload, server: Workload) -> None:
    """A real scrape passes Prometheus' own check."""
    agent.apply("allow.yaml", ALLOW)
    send(client, server, 7777, 1)
    assert "" == promtool("check", "metrics", text=metrics.text())
