from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.api.client import Client
from tests.kernel.agents import Agent, flows_of, managing_two, policy
from tests.kernel.world import Node, Workload, answers

AddWorkload = Callable[[str, str, str], Workload]
PORT = 7001
ALLOW = policy("server", "server", "ingress", "client", PORT)
DENY = policy("server", "server", "ingress", "nobody", PORT)
UID = "CiliumNetworkPolicy/default/server"
SHADOW = DENY.replace("namespace: default}", "namespace: default, annotations: {ringfence.io/mode: shadow}}")


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    """An agent that manages a client and a server, of which one port is open to the client."""
    with managing_two(node, add_workload, "staged", tmp_path) as found:
        found.apply("policy.yaml", ALLOW)
        yield found


def reached(agent: Agent) -> bool:
    """Whether the client's next packet arrives."""
    return answers(agent.node.workloads["client"], agent.node.workloads["server"], PORT)


def totals(api: Client) -> list[tuple[str, str, str, str]]:
    """Where the staged policies disagree, once they do: would, port, and the lines that decide."""
    while True:
        found = api.staged()["disagreements"]
        if found:
            return [
                (each["would"], each["flow"]["port"], _origin(each, "staged"), _origin(each, "active"))
                for each in found
            ]


def _origin(found: Any, which: str) -> str:
    rule = found[f"{which}_rule"]
    return str(rule["origin"]) if rule else ""


def test_what_is_staged_has_no_effect_and_is_told(agent: Agent) -> None:
    """A staged denial lets the packet through; what it would have done is told with the lines of both policies."""
    with agent.client() as api:
        api.stage([("new.yaml", DENY)])
        assert [] == api.staged()["disagreements"]
        assert reached(agent)
        assert [("deny", f"{PORT}/UDP", "new.yaml:8", "policy.yaml:8")] == totals(api)
        assert [("changed", UID)] == [(each["change"], each["uid"]) for each in api.staged()["policies"]]


def test_a_denial_that_would_be_none(agent: Agent) -> None:
    """The other way round: denied by what is in force, allowed by what is staged, as it comes and in total."""
    agent.apply("policy.yaml", DENY)
    with agent.client() as api, agent.client() as following, following.disagreements() as found:
        api.stage([("new.yaml", ALLOW)])
        assert not reached(agent)
        first: Any = next(found)
        assert ("allow", "client", "server") == (
            first["would"],
            first["flow"]["source"]["endpoint"],
            first["flow"]["destination"]["endpoint"],
        )
        assert [("allow", f"{PORT}/UDP", "new.yaml:8", "policy.yaml:8")] == totals(api)


def test_agreement_is_silent(agent: Agent) -> None:
    """Where both say the same nothing is told, and events of what is in force are as ever."""
    with agent.client() as api, agent.client() as watching, watching.events() as events:
        api.stage([("new.yaml", ALLOW)])
        assert reached(agent)
        [flow] = flows_of(events, 1, "UDP")
        assert "allow" == flow["verdict"]
        assert [] == api.staged()["disagreements"]


def test_live_connections_are_judged_when_something_is_staged(agent: Agent) -> None:
    """Staging moves the revision: the next packet of a connection that began before is judged by it too."""
    client, server = agent.node.workloads["client"], agent.node.workloads["server"]
    sending = client.socket(address=client.ipv4)
    receiving = server.socket(address=server.ipv4, port=PORT)
    try:
        receiving.settimeout(2)
        sending.sendto(b"before", (server.ipv4, PORT))
        assert receiving.recv(16) == b"before"
        with agent.client() as api:
            api.stage([("new.yaml", DENY)])
            sending.sendto(b"after", (server.ipv4, PORT))
            assert receiving.recv(16) == b"after"
            assert [("deny", f"{PORT}/UDP", "new.yaml:8", "policy.yaml:8")] == totals(api)
    finally:
        sending.close()
        receiving.close()


def test_promoting_enforces_exactly_what_was_staged(agent: Agent) -> None:
    """After a kill the same is staged still; promoted it is in force for the next packet, and staged no more."""
    with agent.client() as api:
        api.stage([("new.yaml", DENY)])
    agent.end(signal.SIGKILL)
    agent.start()
    with agent.client() as api:
        assert [UID] == [each["uid"] for each in api.staged()["policies"]]
        assert reached(agent)
        api.promote()
        assert not reached(agent)
        assert (None, []) == (api.staged()["since"], api.staged()["policies"])
        assert api.policy(UID)["origin"].startswith("new.yaml:")


def test_unstaged_leaves_no_entry(agent: Agent) -> None:
    """Dropping what is staged leaves the maps as they were, and nothing disagrees any more."""
    before = len(agent.pinned("policy").dump()[0])
    with agent.client() as api:
        api.stage([("new.yaml", DENY)])
        assert len(agent.pinned("policy").dump()[0]) > before
        api.unstage()
        assert reached(agent)
        assert [] == api.staged()["disagreements"]
        assert api.verify()["equal"]
    assert before == len(agent.pinned("policy").dump()[0])


def test_a_policy_in_shadow_mode_is_applied_without_effect(agent: Agent) -> None:
    """The annotation makes one policy alone be judged without effect; without it the same policy is in force."""
    other, uid = SHADOW.replace("name: server", "name: shadowed"), "CiliumNetworkPolicy/default/shadowed"
    agent.apply("policy.yaml", DENY)
    agent.apply("shadow.yaml", other.replace("nobody", "client"))
    with agent.client() as api:
        assert not reached(agent)
        assert [("allow", f"{PORT}/UDP", "shadow.yaml:8", "policy.yaml:8")] == totals(api)
        assert [("shadow", uid)] == [(each["change"], each["uid"]) for each in api.staged()["policies"]]
        assert api.verify()["equal"]
        agent.apply("shadow.yaml", other.replace("nobody", "client").replace("mode: shadow", "mode: enforce"))
        assert reached(agent)
        assert [] == api.staged()["policies"]
