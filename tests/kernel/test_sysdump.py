"""`ringfence sysdump` of an agent that runs, and of what one left in the kernel."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli
from tests.kernel.agents import Agent, policy
from tests.kernel.world import Node, Workload, answers, owned_name

AddWorkload = Callable[[str, str, str], Workload]
POLICY = policy("server", "server", "ingress", "client", 7001)


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    """An agent with a client that spoke to a server."""
    found = Agent(node, owned_name("sysdump"), tmp_path)
    try:
        found.start()
        client, server = (
            add_workload("client", "10.77.6.1", "fd77:6::1"),
            add_workload("server", "10.77.6.2", "fd77:6::2"),
        )
        found.add(client, "client", "app=client")
        found.add(server, "server", "app=server")
        found.apply("server.yaml", POLICY)
        assert answers(client, server, 7001)
        yield found
    finally:
        found.remove()


def dumped(agent: Agent, path: Path) -> tuple[Result, dict[str, str]]:
    """What the command said, and the files in the archive."""
    result = CliRunner().invoke(cli, ["--instance", agent.instance, "--socket", agent.socket, "sysdump", str(path)])
    assert result.exit_code == 0, result.output
    with tarfile.open(path) as archive:
        found = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return result, {
            name.removeprefix("ringfence-sysdump/"): file.read().decode() for name, file in found.items() if file
        }


def test_a_dump_has_all_state(agent: Agent, tmp_path: Path) -> None:
    """One archive, open to its owner alone, says who is who, what is wanted, what is and what was."""
    path = tmp_path / "dump.tar.gz"
    result, files = dumped(agent, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(files["verify.json"])["equal"]
    assert files["policies/CiliumNetworkPolicy_default_server.yaml"].strip() == POLICY.removeprefix("---").strip()
    assert {each["name"] for each in json.loads(files["endpoints.json"])} == {"client", "server"}
    flows = [json.loads(line) for line in files["flows.jsonl"].splitlines()]
    assert {"client"} <= {flow["source"]["endpoint"] for flow in flows}
    assert json.loads(files["bpf/maps/ct4.json"])["rows"][0]["value"]["verdict"]["revision"] == agent.revision()
    assert "applied: CiliumNetworkPolicy/default/server" in files["bpf/changes/policy.jsonl"]
    assert "ringfence_" in files["metrics.txt"]
    assert all(each["there"] is True for each in json.loads(files["kernel-features.json"]))
    assert "addresses" in files["README"]
    assert "policies with their texts, labels, names and addresses are in it" in result.stdout
    # What the agent says goes into a pipe of the test's, which cannot be read twice.
    assert files["missing.txt"].startswith("agent.log: ")
    assert len(files["missing.txt"].splitlines()) == 1


def test_a_dump_without_an_agent_has_what_the_kernel_holds(agent: Agent, tmp_path: Path) -> None:
    """With no agent the pinned maps are read, decoded as far as numbers alone go, and the dump says what is missing."""
    agent.end()
    result, files = dumped(agent, tmp_path / "dump.tar.gz")
    (policies,) = [text for name, text in files.items() if name.startswith("pinned/") and name.endswith("/policy.json")]
    assert any(row["key"]["port"] == 7001 for row in json.loads(policies))
    assert "no agent answers" in files["missing.txt"]
    assert "no agent answers" in result.stdout


def test_a_file_that_is_there_is_not_written_over(agent: Agent, tmp_path: Path) -> None:
    """A dump never replaces a file, which could be open to others."""
    path = tmp_path / "there"
    path.write_text("mine")
    result = CliRunner().invoke(cli, ["--socket", agent.socket, "sysdump", str(path)])
    assert result.exit_code == 1
    assert path.read_text() == "mine"
