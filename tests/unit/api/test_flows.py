"""`/v1/flows`: past flows and those to come over the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ringfence.api.client import Client
from ringfence.errors import BadInput
from ringfence.flow.request import Asked
from tests.unit.api.running import Running, running
from tests.unit.flow.batch import DENIED, event

DROPPED = '{"verdict": ["DROPPED"]}'


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as agent:
        yield agent


@pytest.fixture
def client(agent: Running) -> Iterator[Client]:
    with Client(str(agent.socket)) as client:
        yield client


def publish(agent: Running, client: Client, first: int, number: int) -> None:
    """Let the agent have events, every third of them denied, and wait until it has."""
    rows = [event(revision=first + at, **(DENIED if at % 3 == 0 else {})) for at in range(number)]
    events = np.concatenate(rows)
    events["time"] = events["revision"].astype(np.uint64) * 1_000_000_000
    agent.publish(events)
    client.policies()  # answered by the same loop, after the events


def revisions(client: Client, asked: Asked, **request: Any) -> list[int]:
    with client.flows(asked=asked, **request) as found:
        return [flow["revision"] for flow in found]  # type: ignore[typeddict-item] # flows, nothing else


def test_past_flows_within_bounds(agent: Running, client: Client) -> None:
    """The last, the first, those of a time, those of a filter: oldest first, and the answer ends."""
    publish(agent, client, 100, 30)
    assert [127, 128, 129] == revisions(client, {"last": 3})
    assert [100, 101] == revisions(client, {"first": 2})
    assert [110, 111] == revisions(client, {"since": "110", "until": "1970-01-01T00:01:52Z"})
    assert [121, 124, 127] == revisions(client, {"last": 3}, allow=[DROPPED])
    assert [101, 102, 104] == revisions(client, {"first": 3}, deny=[DROPPED])
    assert 30 == len(revisions(client, {}))


def test_past_and_present_in_one_stream(agent: Running, client: Client) -> None:
    """The last flows, then every later one: none twice, none missing."""
    publish(agent, client, 100, 10)
    with client.flows(asked={"last": 2}, follow=True) as found, Client(str(agent.socket)) as other:
        publish(agent, other, 110, 20)
        agent.stop()
        assert list(range(108, 130)) == [flow["revision"] for flow in found]  # type: ignore[typeddict-item] # flows


def test_hubbles_form(agent: Running, client: Client) -> None:
    """The same flows as Hubble's client writes them."""
    publish(agent, client, 100, 1)
    with client.flows(form="hubble") as found:
        [line] = found
    document: Any = line
    assert "DROPPED" == document["flow"]["verdict"]
    assert {"flow", "node_name", "time"} == set(document)


@pytest.mark.parametrize(
    ("expected", "asked", "request_"),
    [
        ("last 2000000: from 0 to 1000000 flows", {"last": 2_000_000}, {}),
        ("first and last exclude each other", {"last": 1, "first": 1}, {}),
        ("'soon' is no time: write 1h", {"since": "soon"}, {}),
        ("until is not later than since", {"since": "1h", "until": "2h"}, {}),
        ("first and until exclude it", {"first": 1}, {"follow": True}),
        ("no filter 'colour'; there are", {}, {"allow": ['{"colour": ["red"]}']}),
        ("a filter is a JSON object", {}, {"deny": ["[]"]}),
        ("last: Input should be a valid integer", {"last": "many"}, {}),
    ],
)
def test_bad_input_is_refused_before_anything_is_answered(
    client: Client, expected: str, asked: Asked, request_: dict[str, Any]
) -> None:
    """A request that means nothing is bad input, told in a line."""
    with pytest.raises(BadInput, match=expected), client.flows(asked=asked, **request_):
        pass
