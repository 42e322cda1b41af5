from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ringfence.abi import Direction, PeerKind, Tier, Verdict
from ringfence.api import shapes
from ringfence.cli.main import cli
from ringfence.datapath import attach
from ringfence.datapath.addresses import exact_keys, prefix_keys
from ringfence.datapath.loader import PIN_ROOT
from ringfence.datapath.syscall import NOEXIST
from tests.kernel.agents import Agent, policy
from tests.kernel.world import Node, Workload, answers, owned_name

AddWorkload = Callable[[str, str, str], Workload]
Tamper = Callable[[Agent], Any]
CIDR = """---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: block, namespace: default}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}], ports: [{port: 5432}]}]
"""
NAMED = """---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: named, namespace: default}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{ports: [{port: web}]}]
"""
CLIENT = "k8s:app=client,k8s:io.kubernetes.pod.namespace=default"


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    """An agent with a client and a server, of which one port is open to the client and one to a block."""
    found = Agent(node, owned_name("verify"), tmp_path)
    try:
        found.start()
        for name, ipv4, ipv6 in (("client", "10.77.3.1", "fd77:3::1"), ("server", "10.77.3.2", "fd77:3::2")):
            found.add(add_workload(name, ipv4, ipv6), name, f"app={name}")
        found.apply("allow.yaml", policy("server", "server", "ingress", "client", 7001) + CIDR)
        yield found
    finally:
        found.remove()


def verified(agent: Agent) -> shapes.Verification:
    with agent.client() as api:
        return api.verify()


def row_of(agent: Agent, port: int) -> tuple[Any, int]:
    """Key and record of the entry for a port."""
    with agent.pinned("policy") as found:
        keys, rows = found.dump()
    (index,) = np.flatnonzero(keys["port"] == port)
    return keys[index], int(rows[index])


def rule_of(agent: Agent, port: int) -> int:
    """The rule number that the entry for a port names."""
    with agent.pinned("policy_records") as found:
        words = found.mmap_array()["rule"][row_of(agent, port)[1]]
    return int(max(words)) & 0xFFFFFFFF


@contextmanager
def lost_entry(agent: Agent) -> Iterator[None]:
    key, row = row_of(agent, 7001)
    with agent.pinned("policy") as found:
        assert found.delete(key)
        yield
        found.update(key, row, NOEXIST)


@contextmanager
def added_entry(agent: Agent) -> Iterator[None]:
    key, row = row_of(agent, 7001)
    key["port"] = 7002
    with agent.pinned("policy") as found:
        found.update(key, row, NOEXIST)
        yield
        found.delete(key)


@contextmanager
def another_rule(agent: Agent) -> Iterator[None]:
    (_, row), (_, other) = row_of(agent, 7001), row_of(agent, 5432)
    with agent.pinned("policy_records") as found:
        words = found.mmap_array()["rule"]
        before = words[row].copy()
        words[row] = words[other]
        yield
        words[row] = before


@contextmanager
def changed_rule(agent: Agent) -> Iterator[None]:
    number = rule_of(agent, 7001)
    with agent.pinned("rules") as found:
        row = found.mmap_array()[number]
        row["verdict"] = Verdict.DENY
        yield
        row["verdict"] = Verdict.ALLOW


@contextmanager
def added_address(agent: Agent) -> Iterator[None]:
    (key,) = exact_keys([ip_network("198.51.100.7/32")])
    with agent.pinned("ipcache_exact") as found:
        client = found.lookup(exact_keys([ip_network("10.77.3.1/32")])[0])
        found.update(key, client, NOEXIST)
        yield
        found.delete(key)


@contextmanager
def lost_prefix(agent: Agent) -> Iterator[None]:
    (key,) = prefix_keys([ip_network("192.0.2.128/25")])
    with agent.pinned("ipcache") as found:
        row = found.lookup(key)
        assert found.delete(key)
        yield
        found.update(key, row, NOEXIST)


@contextmanager
def changed_peer(agent: Agent) -> Iterator[None]:
    with agent.pinned("ipcache_exact") as found, agent.pinned("peer_records") as records:
        row = int(found.lookup(exact_keys([ip_network("10.77.3.1/32")])[0]))
        words = records.mmap_array()["identity"][row]
        before = words.copy()
        words[:] = (before >> np.uint64(32) << np.uint64(32)) | np.uint64(2)
        yield
        words[:] = before


@contextmanager
def narrowed_shapes(agent: Agent) -> Iterator[None]:
    with agent.pinned(".data.shapes") as found:
        words = found.mmap_array()["live_shapes"][0]
        before = words.copy()
        words[Tier.NORMAL, Direction.INGRESS] &= ~np.uint64(1 << PeerKind.IDENTITY)
        yield
        words[:] = before


@contextmanager
def changed_endpoint(agent: Agent) -> Iterator[None]:
    with agent.pinned("endpoints") as found:
        (row,) = np.flatnonzero(found.mmap_array()["ifindex"] == agent.node.workloads["server"].ifindex)
        mac = found.mmap_array()[row]["mac"]
        mac[5] ^= 1
        yield
        mac[5] ^= 1


@contextmanager
def lost_interface(agent: Agent) -> Iterator[None]:
    ifindex = agent.node.workloads["server"].ifindex
    with agent.pinned("interfaces") as found:
        row = found.lookup(ifindex)
        assert found.delete(ifindex)
        yield
        found.update(ifindex, row, NOEXIST)


@contextmanager
def slot_to_come(agent: Agent) -> Iterator[None]:
    _, row = row_of(agent, 7001)
    with agent.pinned("policy_records") as found:
        words = found.mmap_array()["rule"][row]
        older = int(np.argmin(words))
        before, words[older] = words[older].copy(), np.uint64((agent.revision() + 9) << 32)
        yield
        words[older] = before


ENTRY = "of {server} from {client}, 7001/UDP"
CASES: list[tuple[Tamper, str, str, str, bool]] = [
    (lost_entry, "policy", "lost", ENTRY, False),
    (added_entry, "policy", "added", "7002/UDP", False),
    (another_rule, "policy", "changed", ENTRY, False),
    (changed_rule, "rules", "changed", "allowed by server, allow.yaml:8", False),
    (added_address, "ipcache", "added", "198.51.100.7/32", False),
    (lost_prefix, "ipcache", "lost", "192.0.2.128/25", False),
    (changed_peer, "ipcache", "changed", "10.77.3.1/32", False),
    (narrowed_shapes, "live shapes", "changed", "tier 1, direction 1", False),
    (changed_endpoint, "endpoints", "changed", "server", True),
    (lost_interface, "interfaces", "lost", "(server)", True),
    (slot_to_come, "policy_records", "added", "revisions to come", True),
]


def test_untouched_maps_are_equal(agent: Agent, node: Node) -> None:
    """What nobody has touched is as wanted, and equal to the policies over all classes of packets."""
    found = verified(agent)
    assert found["drift"] == []
    assert found["equal"]
    assert found["proof"]["classes"] > 50
    assert found["checked"]["endpoints"] == len(node.workloads)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
def test_what_somebody_else_did_is_reported(agent: Agent, case: tuple[Tamper, str, str, str, bool]) -> None:
    """A change of the maps past the agent is told with its map, what it is and the labels; undone, all is equal."""
    tamper, place, change, entry, proven = case
    with agent.client() as api:
        identities = {each["name"]: each["identity"] for each in api.endpoints()}
        labels = {name: ",".join(api.endpoint(name)["labels"]) for name in identities}
    named = entry.format_map({name: f"{identities[name]} ({labels[name]})" for name in identities})
    with tamper(agent):
        found = verified(agent)
        assert not found["equal"]
        assert (place, change) in {(each["map"], each["change"]) for each in found["drift"]}
        assert any(named in each["entry"] for each in found["drift"]), found["drift"]
        # Where entries and addresses are as they should be, the policies' proof holds.
        assert proven == found["proof"]["equal"], found["proof"]
    assert verified(agent)["equal"]


def test_named_ports_are_proven_too(agent: Agent, node: Node) -> None:
    """A port by name is, for the proof, the one that the endpoint was added with."""
    with agent.client() as api:
        netns = node.workloads["server"].namespace
        api.put_endpoint("server", netns=netns, labels=["app=server"], ports=["web=7003/TCP"])
    agent.apply("named.yaml", NAMED)
    with agent.client() as api:
        entries = api.entries()
    found = verified(agent)
    assert found["equal"], found
    assert any("7003/TCP" in each["traffic"] for each in entries)


def test_programs_that_are_gone_are_reported(agent: Agent, node: Node) -> None:
    """An endpoint whose programs somebody took off is drift; put again, it is not."""
    server = node.workloads["server"]
    (directory,) = (PIN_ROOT / agent.instance).iterdir()
    node.run(lambda: attach.detach(server.ifindex, directory))
    found = verified(agent)
    assert [each["map"] for each in found["drift"]] == ["programs"]
    assert found["drift"][0]["entry"].startswith("server, interface")


def test_entries_set_by_hand_are_wanted(agent: Agent, node: Node) -> None:
    """An entry set through the agent is no drift, although no policy speaks of it."""
    with agent.client() as api:
        subject = api.endpoint("server")["identity"]
        api.set_entry({"direction": "ingress", "subject": subject, "action": "deny"})
    assert not answers(node.workloads["client"], node.workloads["server"], 7001)
    assert verified(agent)["drift"] == []


def test_the_command_tells_drift_and_exits_with_1(agent: Agent) -> None:
    """`status --verify` is exit code 0 without drift; with some it names each entry and the exit code is 1."""
    command = ["--socket", agent.socket, "status", "--verify"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "no drift"
    with lost_entry(agent):
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 1
        assert "lost in policy: normal ingress of" in result.stdout
        assert CLIENT in result.stdout
        assert "not equal to the policies, for example: client -> server 7001/UDP" in result.stdout
        assert not json.loads(CliRunner().invoke(cli, [*command, "-o", "json"]).stdout)["equal"]
