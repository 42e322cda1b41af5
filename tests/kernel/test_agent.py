from __future__ import annotations

import signal
import stat
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.datapath import attach
from ringfence.errors import Unavailable
from ringfence.lab import namespaces
from tests.kernel.agents import Agent, flows_of, policy
from tests.kernel.world import Node, Workload, answers

ALLOW = policy("server", "server", "ingress", "client", 7777)


@pytest.fixture
def started(agent: Agent, client: Workload, server: Workload) -> Agent:
    agent.start()
    agent.add(client, "client", "app=client")
    agent.add(server, "server", "app=server")
    return agent


def test_policy_file_to_enforced_packets(started: Agent, client: Workload, server: Workload) -> None:
    """What a policy allows passes, what it does not is dropped, and each verdict names the rule and its line."""
    assert answers(client, server, 7777)
    started.apply("allow.yaml", ALLOW)
    with started.client() as api, api.events(to=["server"], type="drop") as stream:
        assert answers(client, server, 7777)
        assert not answers(client, server, 7778)
        flow = next(stream)
    assert flow["port"] == "7778/UDP"  # type: ignore[typeddict-item] # a flow, not a loss
    rule = flow["rule"]  # type: ignore[typeddict-item] # likewise
    assert rule is not None
    assert rule["origin"].startswith("allow.yaml:")
    assert rule["text"].startswith("no rule allows this")


def test_revoked_rule_stops_a_live_flow(started: Agent, client: Workload, server: Workload) -> None:
    """A deny entry set by hand counts for the next packet of a flow that exists already, until it is deleted."""
    assert answers(client, server)
    with started.client() as api:
        subject, peer = (api.endpoint(name)["identity"] for name in ("server", "client"))
        api.set_entry({"direction": "ingress", "subject": subject, "peer": peer, "action": "deny"})
        assert not answers(client, server)
        entry = next(each for each in api.entries(subject, peer) if each["origin"] == "manual")
        assert entry["packets"] > 0
        api.delete_entry({"direction": "ingress", "subject": subject, "peer": peer})
    assert answers(client, server)


def test_programs_stay_when_the_agent_ends(started: Agent, client: Workload, server: Workload, node: Node) -> None:
    """After SIGTERM the process is gone, its socket too, and both programs judge on every endpoint."""
    started.apply("allow.yaml", ALLOW)
    assert 0 == started.end(signal.SIGTERM)
    for workload in (client, server):
        found = node.run(lambda index=workload.ifindex: attach.query(index))  # type: ignore[misc] # bound at once
        assert 2 == len(found)
    assert answers(client, server, 7777)
    assert not answers(client, server, 7778)
    with started.client() as api, pytest.raises(Unavailable):
        api.status()


def test_socket_is_its_owners_alone(started: Agent) -> None:
    """Nobody but root may talk to the agent."""
    assert 0o600 == stat.S_IMODE(Path(started.socket).stat().st_mode)


def test_second_agent_is_refused(started: Agent) -> None:
    """An instance has one writer: a second agent ends with a line that names the first."""
    assert started.process is not None
    second = started.spawn(started.command())
    _, told = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"running already, as process {started.process.pid}" in told


def test_deleted_endpoint_is_let_go(started: Agent, client: Workload, server: Workload, node: Node) -> None:
    """A workload that is managed no longer has no programs, and its address is nobody's."""
    with started.client() as api:
        api.delete_endpoint("client")
        assert [] == [entry for entry in api.ipcache() if entry["endpoint"] == "client"]
    assert () == node.run(lambda: attach.query(client.ifindex))
    with closing(server.socket(address=server.ipv4, port=7000)):
        assert answers(client, server)


def test_vanished_interface_is_noticed(started: Agent, client: Workload) -> None:
    """An endpoint whose interface is gone is shown as disconnected; it can be put again on another one."""
    namespaces.remove(client.namespace)
    with started.client() as api:
        while api.endpoint("client")["state"] != "disconnected":
            assert started.process is not None
            assert started.process.poll() is None


def test_spoofed_source_is_dropped(started: Agent, client: Workload, server: Workload) -> None:
    """A packet with an address that is not the endpoint's own is dropped and told with its reason."""
    spoofer = client.run(lambda: _raw_sender("10.77.1.99", server.ipv4))
    with started.client() as api, api.events(type="drop") as stream, closing(spoofer):
        spoofer.send()
        [flow] = flows_of(stream, 1, "UDP")
    assert flow["reason"] == "invalid source"


def test_status_counts(started: Agent, client: Workload, server: Workload) -> None:
    """Status has the packets by verdict, and says of each endpoint that both programs are there."""
    started.apply("allow.yaml", ALLOW)
    assert answers(client, server, 7777)
    assert not answers(client, server, 7778)
    with started.client() as api:
        status = api.status()
    assert status["counters"]["allowed"] >= 2
    assert status["counters"]["denied"] >= 1
    assert [True, True] == [each["programs_ok"] for each in status["attach"]]
    assert "policy denied" in [each["reason"] for each in status["drops"]]


class _raw_sender:  # noqa: N801 - used as a function that leaves something to close
    """One UDP datagram under a source address of one's choice."""

    def __init__(self, source: str, destination: str) -> None:
        import socket  # noqa: PLC0415 - a raw socket is this test's alone

        from scapy.layers.inet import IP, UDP  # noqa: PLC0415 - scapy takes a second to import

        self._packet = bytes(IP(src=source, dst=destination) / UDP(sport=1, dport=2) / b"x")
        self._to = (destination, 0)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self) -> None:
        self._socket.sendto(self._packet, self._to)

    def close(self) -> None:
        self._socket.close()


def test_clsact_enforces_as_tcx_does(agent: Agent, client: Workload, server: Workload) -> None:
    """Where tcx is missing the programs are held by clsact, and judge the same."""
    agent.start(agent.command("--mechanism", "clsact"))
    agent.add(client, "client", "app=client")
    agent.add(server, "server", "app=server")
    agent.apply("allow.yaml", ALLOW)
    assert answers(client, server, 7777)
    assert not answers(client, server, 7778)
    with agent.client() as api:
        attached = api.status()["attach"]
    assert [("clsact", True)] * 2 == [(each["mechanism"], each["programs_ok"]) for each in attached]


def test_dry_run_prints_and_touches_nothing(agent: Agent, client: Workload, node: Node) -> None:
    """A dry run tells the commands in order and leaves kernel and state as they are."""
    agent.start(agent.command("--dry-run"))
    agent.add(client, "client", "app=client")
    agent.end()
    lines = (agent.directory / "output").read_text().splitlines()
    order = [line.split()[0] for line in lines[lines.index("activate revision 1") + 1 :]]
    assert (order[0], order[-2], order[-1]) == ("endpoint", "activate", "attach")
    assert () == node.run(lambda: attach.query(client.ifindex))
    assert not (agent.directory / "state").exists()
