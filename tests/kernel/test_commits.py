from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.errors import RingfenceError
from tests.kernel.agents import Agent, managing_two, policy
from tests.kernel.world import Node, Workload, answers

AddWorkload = Callable[[str, str, str], Workload]
PORT = 7001
ALLOW = policy("server", "server", "ingress", "client", PORT)
DENY = policy("server", "server", "ingress", "nobody", PORT)


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    """An agent that manages a client and a server, of which one port is open to the client."""
    with managing_two(node, add_workload, "commits", tmp_path) as found:
        found.apply("policy.yaml", ALLOW)
        yield found


def reached(agent: Agent) -> bool:
    """Whether the client's next packet arrives."""
    return answers(agent.node.workloads["client"], agent.node.workloads["server"], PORT)


def test_rollback_is_enforced_on_the_next_packet(agent: Agent) -> None:
    """What a rollback brings back is what the very next packet is judged by."""
    with agent.client() as api:
        allowed = api.commits()[-1]["revision"]
        agent.apply("policy.yaml", DENY)
        assert not reached(agent)
        api.roll_back(allowed)
        assert reached(agent)


def test_unconfirmed_change_goes_back_though_the_agent_was_killed(agent: Agent) -> None:
    """A change that nobody confirms goes back also when the agent is killed before its time and starts after it."""
    with agent.client() as api:
        api.apply_policies([("policy.yaml", DENY)], confirm_seconds=1)
    assert not reached(agent)
    agent.end(signal.SIGKILL)
    agent.start()
    with agent.client() as api:
        while api.status()["warnings"]:
            """Its end is the only thing to wait for."""
        assert ["apply", "apply", "take back"] == [note["did"] for each in api.commits() for note in each["notes"]]
    assert reached(agent)


def test_history_survives_a_kill_at_any_moment(agent: Agent) -> None:
    """Whenever the agent is killed, every change that it had answered is in the history after the next start, in order,
    and the last state in the history is what is in force.
    """
    answered = [agent.apply("policy.yaml", DENY)]

    def apply_until_it_dies() -> None:
        try:
            while True:
                answered.append(agent.apply("policy.yaml", (ALLOW, DENY)[len(answered) % 2]))
        except RingfenceError:
            return

    for _ in range(5):
        before = len(answered)
        busy = threading.Thread(target=apply_until_it_dies)
        busy.start()
        while len(answered) < before + 3:
            """It is killed under way."""
        agent.end(signal.SIGKILL)
        busy.join()
        agent.start()
        with agent.client() as api:
            revisions = [each["revision"] for each in api.commits()]
            assert sorted(revisions) == revisions
            assert set(answered) <= set(revisions)
            (last,) = api.commit(revisions[-1])["policies"]
            assert api.policy(last["uid"]).get("text") == last["text"]
            answered = revisions


def test_revisions_go_on_when_the_kernel_knows_none(agent: Agent) -> None:
    """After the machine has started anew revisions go on where the log ended, and an old state can be brought back."""
    with agent.client() as api:
        allowed = api.commits()[-1]["revision"]
        log = Path(agent.directory / "state" / "commits")
    agent.end(signal.SIGTERM)
    kept = {path.name: path.read_bytes() for path in log.iterdir()}
    agent.remove()
    for path in (agent.directory / "state").glob("journal*"):
        path.unlink()
    assert kept
    agent.start()
    with agent.client() as api:
        assert [] == api.policies()
        assert api.status()["revision"] >= allowed
        api.roll_back(allowed)
        assert ["CiliumNetworkPolicy/default/server"] == [each["uid"] for each in api.policies()]
