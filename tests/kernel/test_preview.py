from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli
from ringfence.errors import RingfenceError
from tests.kernel.agents import Agent, flows_of, managing_two, policy
from tests.kernel.world import Node, Workload, answers

AddWorkload = Callable[[str, str, str], Workload]
PORT = 7001
ALLOW = policy("server", "server", "ingress", "client", PORT).replace("UDP", "TCP")
DENY = policy("server", "server", "ingress", "nobody", PORT).replace("UDP", "TCP")
TEST = """---
apiVersion: ringfence.io/v1
kind: PolicyTest
metadata: {name: reach}
cases:
- {from: {labels: {app: client}}, to: {labels: {app: server}}, port: 7001/TCP, expect: allow}
"""


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    """An agent that manages a client and a server, of which one TCP port is open to the client."""
    with managing_two(node, add_workload, "preview", tmp_path) as found:
        found.apply("policy.yaml", ALLOW)
        yield found


@pytest.fixture
def connection(agent: Agent) -> Iterator[socket.socket]:
    """A live connection of the client to the server's open port."""
    client, server = agent.node.workloads["client"], agent.node.workloads["server"]
    with closing(server.socket(socket.SOCK_STREAM, server.ipv4, PORT)) as listening:
        listening.listen()
        with closing(client.socket(socket.SOCK_STREAM)) as connecting:
            connecting.connect((server.ipv4, PORT))
            accepted, _ = listening.accept()
            with accepted:
                yield connecting


def run(agent: Agent, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--socket", agent.socket, "policy", "apply", *arguments])


def test_the_live_connections_that_would_be_cut_are_listed(
    agent: Agent, connection: socket.socket, tmp_path: Path
) -> None:
    """A preview names the connection with its ports and the line that would deny it, and applies nothing."""
    file = tmp_path / "new.yaml"
    file.write_text(DENY)
    with agent.client() as api:
        before = api.status()["revision"]
        (cut,) = api.preview([("new.yaml", DENY)])["cuts"]
        assert before == api.status()["revision"]
    assert ("client", "server", f"{PORT}/TCP") == (cut["source"], cut["destination"], cut["port"])
    assert connection.getsockname()[1] == cut["source_port"]
    assert "new.yaml:8" in cut["rule"]
    shown = run(agent, "--preview", str(file))
    assert 6 == shown.exit_code
    assert "cuts 1 live connection; opens 0 paths denied within the last hour" in shown.output


def test_a_connection_that_is_over_is_not_cut(agent: Agent, connection: socket.socket) -> None:
    """One that has ended is remembered for a while, and is no live connection."""
    with agent.client() as api:
        connection.shutdown(socket.SHUT_WR)
        while "closing" not in api.connections(port=str(PORT))[0]["state"]:
            """The FIN is on its way."""
        assert [] == api.preview([("new.yaml", DENY)])["cuts"]


def test_what_was_denied_and_would_be_allowed_is_listed(agent: Agent) -> None:
    """Denials of the last hour that the new policies would allow are counted by path, others are not shown."""
    client, server = agent.node.workloads["client"], agent.node.workloads["server"]
    with agent.client() as api, agent.client() as watching, watching.events() as events:
        assert not answers(client, server, 7002)
        assert not answers(client, server, 7003)
        seen = flows_of(events, 2, "UDP")
        assert ["deny", "deny"] == [each["verdict"] for each in seen]
        text = policy("more", "server", "ingress", "client", 7002)
        (path,) = api.preview([("more.yaml", text)])["opens"]
        assert ("client", "server", "7002/UDP") == (path["source"], path["destination"], path["port"])
        assert "more.yaml:8" in path["rule"]


@pytest.mark.usefixtures("connection")
def test_the_gate_refuses_to_cut(agent: Agent) -> None:
    """With the gate a change that would cut a live connection is refused with its rule; without, it is made."""
    with agent.client() as api:
        with pytest.raises(RingfenceError, match=r"(?s)client -> server 7001/TCP would be cut: .*new.yaml:8.*--gate"):
            api.apply_policies([("new.yaml", DENY)], gate=True)
        assert "policy.yaml" in api.policies()[0]["origin"]
        api.apply_policies([("same.yaml", ALLOW)], gate=True)
        api.apply_policies([("new.yaml", DENY)])


def test_the_gate_refuses_a_failing_test(agent: Agent) -> None:
    """With the gate the cases of the files have to hold of all that would be in force, what is in force already too."""
    with agent.client() as api:
        with pytest.raises(RingfenceError, match=r"(?s)expected allow, found deny.*1 case fails: nothing"):
            api.apply_policies([("new.yaml", DENY + TEST)], gate=True)
        api.apply_policies([("test.yaml", TEST)], gate=True)
