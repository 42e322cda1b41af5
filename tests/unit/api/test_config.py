from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ringfence.agent.store import read_engine
from ringfence.api.client import Client
from ringfence.errors import BadInput, NotFound
from tests.unit.api.running import Running


@pytest.fixture
def client(agent: Running) -> Iterator[Client]:
    with Client(str(agent.socket)) as found:
        found.put_endpoint("web", netns="1", labels=["app=web"])
        yield found


def test_host_is_configured_at_run_time(client: Client, agent: Running) -> None:
    """What is not named stays as it is; the new setting is the kernel's and the status shows it."""
    assert {"aggregation": "connections", "denial_limit": 10} == client.config()
    assert {"aggregation": "off", "denial_limit": 10} == client.configure(aggregation="off")
    assert {"aggregation": "off", "denial_limit": 0} == client.configure(denial_limit=0)
    assert client.config() == client.status()["config"]
    assert "events: aggregation off, denial limit 0" == agent.kernel.lines[-1]
    assert "off" == client.endpoint("web")["aggregation_in_force"]


def test_bad_settings_change_nothing(client: Client) -> None:
    """An unknown value or an impossible limit is refused with what is expected."""
    wrong: list[dict[str, Any]] = [{"aggregation": "some"}, {"aggregation": "host"}, {"denial_limit": -1}]
    for each in wrong:
        with pytest.raises(BadInput, match=r"aggregation: Input should be|denial limit -1: expected 0 to"):
            client.configure(**each)
    assert {"aggregation": "connections", "denial_limit": 10} == client.config()
    with pytest.raises(BadInput, match="aggregation: Input should be"):
        client.configure_endpoint("web", aggregation="all")  # type: ignore[arg-type] # that is what is tested
    with pytest.raises(NotFound, match="no endpoint is named 'nobody'"):
        client.configure_endpoint("nobody", aggregation="off")


def test_endpoint_has_a_setting_of_its_own(client: Client, agent: Running) -> None:
    """It is shown beside what it comes to, kept when the endpoint is put again, and given up for the host's."""
    answer = client.configure_endpoint("web", aggregation="packets")
    assert ("packets", "packets") == (answer["aggregation"], answer["aggregation_in_force"])
    assert {"web": "packets"} == client.status()["aggregations"]
    assert any(line.startswith("endpoint 1") and line.endswith("aggregation packets") for line in agent.kernel.lines)
    again = client.put_endpoint("web", netns="1", labels=["app=other"])
    assert "packets" == again["aggregation"]
    answer = client.configure_endpoint("web", aggregation="host")
    assert ("host", "connections") == (answer["aggregation"], answer["aggregation_in_force"])
    assert {} == client.status()["aggregations"]
    put: Any = client._call("PUT", "/v1/endpoints/web", body={"netns": "1", "aggregation": "verdicts"})
    assert "verdicts" == put["aggregation"]


def test_setting_is_remembered_until_the_endpoint_goes(client: Client, agent: Running) -> None:
    """A restart finds it in the journal; deleted and put again, an endpoint has the host's."""
    client.configure_endpoint("web", aggregation="off")
    remembered = read_engine(agent.journal).endpoints
    assert ["OFF"] == [workload.aggregation.name for workload in remembered.values()]
    client.delete_endpoint("web")
    assert "host" == client.put_endpoint("web", netns="1")["aggregation"]
