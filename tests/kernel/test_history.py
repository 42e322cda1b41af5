"""The history of a real agent: real packets, the rules that judged them, and an agent that is stopped or killed."""

from __future__ import annotations

import json
import signal
from time import monotonic, sleep
from typing import Any

import pytest
from click.testing import CliRunner

from ringfence.cli.main import cli
from tests.kernel.agents import Agent, policy
from tests.kernel.world import Workload, answers

ALLOW = policy("server", "server", "ingress", "client", 7777)
WAIT_SECONDS = 30.0


@pytest.fixture
def denied(agent: Agent, client: Workload, server: Workload) -> Agent:
    """An agent that has recorded that the client may not reach port 7778."""
    agent.start()
    agent.add(client, "client", "app=client")
    agent.add(server, "server", "app=server")
    agent.apply("allow.yaml", ALLOW)
    assert answers(client, server, 7777)
    assert not answers(client, server, 7778)
    end = monotonic() + WAIT_SECONDS
    while not _denials(agent):
        assert monotonic() < end, "the denial is not recorded"
        sleep(0.05)
    return agent


def _flows(agent: Agent, *arguments: str) -> Any:
    command, *rest = arguments
    done = CliRunner().invoke(cli, ["flows", command, "--dir", str(agent.directory / "flows"), "-o", "json", *rest])
    return json.loads(done.stdout) if done.exit_code == 0 else []


def _denials(agent: Agent) -> list[dict[str, Any]]:
    asked = (
        "select distinct source_endpoint, port, reason, origin from flows where verdict = 'deny' and port = '7778/UDP'"
    )
    found: list[dict[str, Any]] = _flows(agent, "query", asked)
    return found


def _is_the_denial(found: list[dict[str, Any]]) -> bool:
    [row] = found
    return (row["source_endpoint"], row["reason"]) == ("client", "policy denied") and row["origin"].startswith(
        "allow.yaml:"
    )


def test_real_denial_is_recorded_with_its_rule(denied: Agent) -> None:
    """Who was denied what, by which line of which file, is in the history a moment later; the status tells of it."""
    assert _is_the_denial(_denials(denied))
    with denied.client() as api:
        state = api.status()
    assert ("recording", str(denied.directory / "flows")) == (
        state["recording"]["state"],
        state["recording"]["directory"],
    )
    assert (True, 0) == (state["recording"]["flows"] > 0, state["events"]["losses"]["store"])
    assert "7778/UDP" in {row["port"] for row in _flows(denied, "top", "--by", "port", "--verdict", "dropped")}


def test_stopped_agent_leaves_a_sealed_history(denied: Agent) -> None:
    """An agent that is asked to stop seals what it recorded; the history is there without it."""
    denied.end()
    files = {path.suffix for path in (denied.directory / "flows").iterdir()}
    assert {"", ".parquet"} == files
    assert _is_the_denial(_denials(denied))


def test_killed_agent_leaves_its_history(denied: Agent) -> None:
    """What a killed agent had recorded is read as it was left, and sealed by the next agent."""
    denied.end(signal.SIGKILL)
    assert _is_the_denial(_denials(denied))
    denied.start()
    end = monotonic() + WAIT_SECONDS
    while not list((denied.directory / "flows").glob("*.parquet")):
        assert monotonic() < end, "the killed agent's segment is not sealed"
        sleep(0.05)
    assert _is_the_denial(_denials(denied))


def test_next_agent_tells_flows_of_the_one_before(denied: Agent) -> None:
    """Past flows outlive the agent: the next one, which has seen nothing yet, tells them from the history, each once,
    with the names of their time.
    """
    with denied.client() as api, api.flows(deny=['{"verdict": ["FORWARDED"]}'], asked={"last": 1000}) as stream:
        told = list(stream)
    denied.end()
    denied.start()
    with denied.client() as api, api.flows(deny=['{"verdict": ["FORWARDED"]}'], asked={"since": "1h"}) as stream:
        again = list(stream)
    assert told
    assert told == again[: len(told)]
