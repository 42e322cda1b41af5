from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ringfence.api.client import Client
from tests.unit.api.counting import CountingKernel
from tests.unit.api.running import Running
from tests.unit.engine.script import WEB


@pytest.fixture(scope="session")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the samples in a scrape of an agent that has endpoints and a policy."""
    directory: Path = tmp_path_factory.mktemp("agent")
    agent = Running(directory, CountingKernel())
    try:
        with Client(str(agent.socket)) as client:
            client.put_endpoint("web", netns="1", labels=["app=web"])
            client.apply_policies([("web.yaml", WEB)])
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(agent.socket))) as http:
            text = http.get("http://ringfence/metrics").text
    finally:
        agent.stop()
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
