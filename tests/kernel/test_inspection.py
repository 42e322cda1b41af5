"""What `ringfence bpf` shows and changes, of an agent over real maps with real connections in them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli
from ringfence.datapath.loader import PIN_ROOT
from tests.kernel.agents import Agent, policy
from tests.kernel.world import Node, Workload, answers, owned_name

AddWorkload = Callable[[str, str, str], Workload]
SERVER = ("server", "10.77.4.2", "fd77:4::2")
CLIENT = ("client", "10.77.4.1", "fd77:4::1")
OPEN = policy("server", "server", "ingress", "client", 7001) + policy("more", "server", "ingress", "client", 7002)


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    """An agent with a client that may speak to two ports of a server, and did."""
    found = Agent(node, owned_name("inspect"), tmp_path)
    try:
        found.start()
        client, server = (add_workload(*each) for each in (CLIENT, SERVER))
        found.add(client, "client", "app=client")
        found.add(server, "server", "app=server")
        found.apply("open.yaml", OPEN)
        assert answers(client, server, 7001)
        assert answers(client, server, 7002)
        assert not answers(client, server, 7003)
        yield found
    finally:
        found.remove()


def run(agent: Agent, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--socket", agent.socket, *arguments])


def shown(agent: Agent, *arguments: str) -> object:
    result = run(agent, *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def ports(agent: Agent, *terms: str) -> set[int]:
    found = shown(agent, "bpf", "ct", "list", *terms)
    assert isinstance(found, list)
    return {each["destination_port"] for each in found}


def test_only_what_was_meant_is_forgotten(agent: Agent) -> None:
    """`bpf ct flush` with terms forgets the connections they mean and leaves the others."""
    assert ports(agent, "--from", "client", "--to", SERVER[1]) == {7001, 7002}
    assert ports(agent, "--port", "7001/UDP") == {7001}
    assert ports(agent, "--protocol", "TCP") == set()
    assert ports(agent, "--state", "replied", "--from", "app=server") == set()
    assert run(agent, "bpf", "ct", "flush", "--port", "7001/UDP").stdout == "1 connections forgotten\n"
    assert ports(agent) == {7002}


def test_counters_and_endpoints_are_the_kernels(agent: Agent) -> None:
    """Denied packets are counted by reason and direction; each address has its row, interface and delivery."""
    counted = shown(agent, "bpf", "metrics", "list")
    assert isinstance(counted, list)
    assert {"forwarded", "policy denied"} <= {each["reason"] for each in counted}
    rows = shown(agent, "bpf", "endpoint", "list")
    assert isinstance(rows, list)
    workload = agent.node.workloads["server"]
    assert {each["address"] for each in rows if each["endpoint"] == "server"} == {workload.ipv4, workload.ipv6}
    (server,) = [each for each in rows if each["address"] == workload.ipv4]
    assert server["ifindex"] == workload.ifindex
    assert server["mac"] == workload.interface.mac.hex(":")
    assert server["delivery"] in {"peer", "redirect", "stack"}


def test_an_element_that_was_changed_by_hand_is_drift(agent: Agent) -> None:
    """`bpf map set` and `delete` change the kernel at once; `status --verify` tells what is not as wanted."""
    assert run(agent, "status", "--verify").exit_code == 0
    changed = run(agent, "bpf", "map", "set", "ipcache", "198.51.100.0/24", "1")
    assert changed.exit_code == 0, changed.output
    assert "drift" in changed.stderr
    verified = run(agent, "status", "--verify")
    assert verified.exit_code == 1
    assert "added in ipcache: 198.51.100.0/24" in verified.stdout
    assert run(agent, "bpf", "map", "delete", "ipcache", "198.51.100.0/24").exit_code == 0
    assert run(agent, "status", "--verify").exit_code == 0
    assert run(agent, "bpf", "map", "delete", "ipcache", "198.51.100.0/24").exit_code == 4


def test_every_change_is_told_with_what_led_to_it(agent: Agent) -> None:
    """The events of a map are the agent's changes in order, with their cause; those to come follow."""
    with agent.client() as api, api.map_changes("policy", follow=True) as stream:
        past = next(stream)
        agent.apply("third.yaml", policy("third", "server", "ingress", "client", 7003))
        newest: Any = next(each for each in stream if "7003/UDP" in str(each))
    assert "agent started" in str(past) or "added" in str(past)
    assert newest["action"] == "set"
    assert newest["because"] == ["applied: CiliumNetworkPolicy/default/third"]
    assert "third.yaml:" in str(newest["value"])
    assert newest["revision"] == agent.revision()
    prefixes = run(agent, "bpf", "map", "events", "ipcache").stdout
    assert f'key="{SERVER[1]}/32"' in prefixes
    assert "endpoint server added" in prefixes
    assert "delivered by" in run(agent, "bpf", "map", "events", "endpoints").stdout
    assert run(agent, "bpf", "map", "events", "ct4").exit_code == 4


def test_a_full_map_shows_its_pressure(agent: Agent) -> None:
    """`bpf map list` has entries, capacity, pressure and errors of every map."""
    maps = shown(agent, "bpf", "map", "list")
    assert isinstance(maps, list)
    by_name = {each["name"]: each for each in maps}
    ct4 = by_name["ct4"]
    assert ct4["pressure"] == pytest.approx(ct4["entries"] / ct4["max_entries"], abs=1e-6)
    assert by_name[".data.revision"]["pressure"] is None
    assert {each["errors"] for each in maps} == {0}


def test_every_map_is_decoded(agent: Agent) -> None:
    """No map shows raw bytes: what `bpf map dump` prints are numbers, names, addresses and texts."""
    with agent.client() as api:
        dumps = {each["name"]: api.map(each["name"]) for each in api.maps()}
    assert all(dumps[name]["rows"] for name in ("policy", "ipcache_exact", "endpoints", "ct4", "metrics", "rules"))
    (entry, *_) = dumps["ct4"]["rows"]
    assert entry["value"]["verdict"]["revision"] == agent.revision()
    assert {entry["key"]["low_address"], entry["key"]["high_address"]} == {CLIENT[1], SERVER[1]}


def test_bpftool_prints_the_maps_by_their_fields(agent: Agent) -> None:
    """Every map whose elements are ours carries the types of keys and values, so bpftool names their fields."""
    bpftool = shutil.which("bpftool", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert bpftool, "apt-get install bpftool"
    (directory,) = (PIN_ROOT / agent.instance).iterdir()
    for pin in sorted((directory / "maps").iterdir()):
        told = json.loads(subprocess.check_output([bpftool, "--json", "map", "show", "pinned", str(pin)]))
        assert told.get("btf_id") or pin.name == "events", f"{pin.name} has no types"
    pin = directory / "maps" / "ct4"
    (first, *_) = json.loads(subprocess.check_output([bpftool, "--json", "map", "dump", "pinned", str(pin)]))
    assert first["formatted"]["key"]["protocol"] == 17
    assert "source_identity" in first["formatted"]["value"]
