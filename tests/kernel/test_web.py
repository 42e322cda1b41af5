from __future__ import annotations

import re

import httpx
import pytest

from ringfence.api.client import Client
from tests.kernel.agents import Agent
from tests.kernel.world import Node


def test_an_agent_serves_the_page_on_a_port_if_asked(agent: Agent, node: Node) -> None:
    """The agent says where its page is, it is there until the agent stops, and nothing can be changed by it."""
    agent.start(agent.command("--web", "127.0.0.1:0"))
    [url] = re.findall(r"http://127\.0\.0\.1:[0-9]+/", "".join(agent.said))
    assert "<title>Ringfence</title>" in node.run(lambda: httpx.get(url)).text
    assert [] == node.run(lambda: httpx.get(f"{url}v1/endpoints")).json()
    assert 405 == node.run(lambda: httpx.delete(f"{url}v1/bpf/ct")).status_code
    with Client(agent.socket) as client:
        assert client.flush_connections() == {"flushed": 0}
    assert 0 == agent.end()
    with pytest.raises(httpx.ConnectError):
        node.run(lambda: httpx.get(url))
