from __future__ import annotations

import asyncio
import gc
import json

import numpy as np

from ringfence.abi import EVENT
from ringfence.agent.hub import Hub, Subscriber
from ringfence.flow.decode import Events
from ringfence.flow.filter import FlowFilter
from ringfence.verdict import RuleText


class Nobody:
    """Names of which there are none."""

    def labels_of(self, identity: int) -> tuple[str, ...]:
        return (f"k8s:n={identity}",)

    def rule_of(self, _number: int) -> RuleText | None:
        return None

    def endpoint_of(self, _row: int) -> str | None:
        return None

    def service_of(self, _row: int) -> str | None:
        return None


def events(count: int, first: int = 0) -> Events:
    rows = np.zeros(count, EVENT)
    rows["family"], rows["protocol"], rows["direction"] = 4, 6, 1
    rows["revision"] = np.arange(first, first + count)
    return rows


def lines(hub: Hub, subscriber: Subscriber) -> list[dict[str, object]]:
    async def read() -> list[bytes]:
        return [piece async for piece in hub.lines(subscriber)]

    return [json.loads(line) for piece in asyncio.run(read()) for line in piece.splitlines()]


def test_slow_subscriber_loses_only_its_own() -> None:
    """Who does not read loses what his queue has no room for, and is told how many in that place."""
    hub = Hub(Nobody())
    slow, quick = Subscriber(FlowFilter(), limit=5), hub.subscribe(FlowFilter())
    for start in (0, 4, 8):
        slow.offer(events(4, start))
        hub.publish(events(4, start))
    hub.close()
    slow.close()
    assert [0, 1, 2, 3, 4, {"lost": 7}] == [line.get("revision", line) for line in lines(hub, slow)]
    assert list(range(12)) == [line["revision"] for line in lines(hub, quick)]


def test_subscriber_that_went_away_is_forgotten() -> None:
    """A stream that nobody holds any more costs nothing, even if it was never begun."""
    hub = Hub(Nobody())
    stream = hub.lines(hub.subscribe(FlowFilter()))
    assert 1 == len(hub._subscribers)
    del stream
    gc.collect()
    assert 0 == len(hub._subscribers)
