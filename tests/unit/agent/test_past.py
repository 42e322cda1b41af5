"""Past and present of an agent: memory, the archive behind it, and the seam between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import time_ns
from typing import Any, TypeVar

import numpy as np
import pytest

from ringfence.agent.hub import Form, Hub
from ringfence.agent.observation import Observation, hubble_form
from ringfence.agent.past import Past
from ringfence.errors import BadInput, Unavailable
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names as KnownNames
from ringfence.flow.query import FlowQuery
from ringfence.flow.recent import Recent
from ringfence.flow.request import Asked, FlowRequest
from ringfence.flow.source import Archive, FlowSource, FlowStream
from ringfence.history.archive import Archive as Archived
from tests.unit.flow.batch import DENIED, Names, event
from tests.unit.history.stored import WAIT_SECONDS, recorder

Result = TypeVar("Result")
KEPT = 8
TCP = FlowQuery.parse(['{"protocol": ["tcp"]}'], [])


def batch(first: int, number: int, **fields: Any) -> Events:
    """Events whose revisions count on from `first`, and whose times are ten times that."""
    events = np.concatenate([event(**fields)] * number)
    events["revision"] = np.arange(first, first + number)
    events["time"] = events["revision"] * 10
    return events


class Stored:
    """An `Archive` in memory that was handed every batch; of an earlier run it has some already."""

    def __init__(self, *earlier: Events) -> None:
        self.batches_held = list(earlier)
        self.asked: list[tuple[int | None, int | None]] = []

    def batches(
        self, since_ns: int | None, until_ns: int | None, *, newest_first: bool
    ) -> Iterator[tuple[Events, KnownNames]]:
        self.asked.append((since_ns, until_ns))
        for events in self.batches_held[:: -1 if newest_first else 1]:
            mask = np.ones(len(events), bool)
            if since_ns is not None:
                mask &= events["time"] >= since_ns
            if until_ns is not None:
                mask &= events["time"] < until_ns
            yield events[mask], Names()


class World:
    """A hub with a small memory and, if wanted, an archive behind it."""

    def __init__(self, archive: Stored | None = None) -> None:
        self.hub = Hub(Names())
        self.past = Past(self.hub, Recent(KEPT), archive)
        if archive is not None:
            self.hub.feed(archive.batches_held.append)

    def publish(self, *sizes: int, first: int = 0) -> None:
        for size in sizes:
            self.hub.publish(batch(first, size))
            first += size

    def found(self, wanted: FlowQuery | None = None, **bounds: Any) -> list[int]:
        parts = self.past.past(wanted or FlowQuery(), **bounds)
        assert all(len(events) for events, _ in parts)
        return [int(revision) for events, _ in parts for revision in events["revision"]]


def agree(archive: Archive, source: FlowSource, stream: FlowStream) -> None:
    """Hold the fake and the real ones against the protocols: mypy checks the calls of this."""
    assert hasattr(archive, "batches")
    assert hasattr(source, "names")
    assert hasattr(stream, "start")


agree(Stored(), World().past, World().past.follow(FlowQuery()))


@pytest.mark.parametrize(
    ("expected", "bounds"),
    [
        (range(4, 12), {}),
        (range(9, 12), {"last": 3}),
        (range(4, 6), {"first": 2}),
        ([], {"last": 0}),
        (range(10, 12), {"since_ns": 100}),
        (range(4, 10), {"until_ns": 100}),
        (range(8, 10), {"until_ns": 100, "last": 2}),
        (range(8, 10), {"since_ns": 80, "first": 2}),
        ([], {"since_ns": 500}),
    ],
)
def test_memory_alone(expected: Sequence[int], bounds: dict[str, Any]) -> None:
    """Without an archive the past is what is kept, oldest first, within the bounds."""
    world = World()
    world.publish(5, 7)
    assert list(expected) == world.found(**bounds)


@pytest.mark.parametrize(
    ("expected", "bounds"),
    [
        (range(-5, 12), {}),
        (range(9, 12), {"last": 3}),
        (range(1, 12), {"last": 11}),
        (range(-5, 0), {"first": 5}),
        (range(-5, 8), {"first": 13}),
        (range(2, 12), {"since_ns": 20 + 1000}),
        (range(2, 7), {"since_ns": 20 + 1000, "until_ns": 70 + 1000}),
        (range(-2, 2), {"until_ns": 20 + 1000, "last": 4}),
    ],
)
def test_past_and_archive_make_one(expected: Sequence[int], bounds: dict[str, Any]) -> None:
    """What memory has let go is told from the archive: each flow once, none missing, also those of an earlier run."""
    world = World(Stored(batch(95, 5)))
    world.publish(3, 6, 3, first=100)
    assert [revision + 100 for revision in expected] == world.found(**bounds)


def test_large_batches_are_looked_at_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is looked at in one go changes nothing of what is found."""
    monkeypatch.setattr("ringfence.agent.past._SLICE_EVENTS", 3)
    world = World(Stored())
    world.publish(20, 5)
    assert list(range(25)) == world.found()
    assert list(range(5, 25)) == world.found(last=20)
    assert list(range(20)) == world.found(first=20)


def test_the_archive_is_asked_only_for_what_memory_has_not() -> None:
    """Files are opened for what is older than memory, and not at all where memory is enough."""
    archive = Stored()
    world = World(archive)
    world.publish(12)
    world.found(last=8)
    world.found(since_ns=50)
    assert [] == archive.asked
    world.found(last=9)
    world.found(since_ns=20, until_ns=60)
    assert [(None, 31), (20, 31)] == archive.asked


def test_filters_hold_on_both_sides_of_the_seam() -> None:
    """The last five that are wanted, wherever they are."""
    world = World(Stored())
    for first in range(0, 20, 2):
        world.hub.publish(np.concatenate([batch(first, 1), batch(first + 1, 1, protocol=17)]))
    assert [8, 10, 12, 14, 16, 18] == world.found(TCP, last=6)
    assert [0, 2, 4, 6, 8, 10, 12] == world.found(TCP, first=7)


def test_events_out_of_order_at_the_seam_are_told_once() -> None:
    """One that memory has let go although it is later than one it keeps is told, and no other twice."""
    world = World(Stored())
    events = batch(0, 12)
    events["time"][3], events["time"][4] = 40, 30
    world.hub.publish(events)
    assert sorted(range(12)) == sorted(world.found())


def test_past_and_present_meet() -> None:
    """What was published before somebody follows is past, what comes later is present; nothing is both or neither."""
    for archive in (None, Stored()):
        world = World(archive)
        world.publish(3)
        stream = world.past.follow(FlowQuery())
        world.publish(4, first=3)
        assert [0, 1, 2] == world.found(before=stream.start)
        [came] = stream.take()
        assert [3, 4, 5, 6] == np.asarray(came)["revision"].tolist()


def test_past_of_one_who_follows_in_a_flood() -> None:
    """Even if memory has let go of everything before the mark, the archive knows where to end."""
    world = World(Stored(batch(-5 + 100, 5)))
    world.publish(3, first=100)
    stream = world.past.follow(FlowQuery())
    world.publish(30, first=103)
    assert list(range(95, 103)) == world.found(before=stream.start)


def test_a_history_on_disk_behind_the_memory(tmp_path: Path) -> None:
    """The real archive, of which nothing is sealed yet: each flow once, whichever way it is asked for."""
    start, first = time_ns(), 0
    hub, recording = Hub(Names()), recorder(tmp_path, Names())
    hub.feed(recording.offer)
    past = Past(hub, Recent(KEPT), Archived(tmp_path, lambda: recording.flush(WAIT_SECONDS)))

    def found(**bounds: Any) -> list[int]:
        return [int(each) for events, _ in past.past(FlowQuery(), **bounds) for each in events["revision"]]

    for size in (5, 40, 3, 200, 7):
        events = batch(first, size)
        events["time"] += start
        hub.publish(events)
        first += size
    try:
        assert list(range(255)) == found()
        assert list(range(205, 255)) == found(last=50)
        assert list(range(50)) == found(first=50)
        assert list(range(100, 250)) == found(since_ns=start + 1000, until_ns=start + 2500)
    finally:
        recording.close(WAIT_SECONDS)


def test_bad_bounds() -> None:
    """Refused also by who is asked without the API."""
    with pytest.raises(BadInput, match="exclude each other"):
        World().found(first=1, last=1)


def read(world: World, asked: Asked, *, follow: bool = False, form: Form | None = None) -> list[Any]:
    """The documents of an answer, to whose stream five more events come while its past is told."""

    async def answer() -> list[Any]:
        request = FlowRequest.read(FlowQuery(), asked, 0, follow=follow)
        lines = await Observation(world.past).answer(request, form or Form())
        world.publish(5, first=12)
        world.hub.close()
        return [json.loads(line) async for piece in lines for line in piece.splitlines()]

    return asyncio.run(answer())


@pytest.mark.parametrize(
    ("expected", "asked", "follow"),
    [
        (range(10, 12), {"last": 2}, False),
        (range(4, 12), {}, False),
        (range(10, 17), {"last": 2}, True),
        (range(12, 17), {}, True),
        (range(12, 17), {"last": 0}, True),
        (range(4, 17), {"since": "0"}, True),
    ],
)
def test_answers(expected: Sequence[int], asked: Asked, follow: bool) -> None:  # noqa: FBT001 - a table
    """Past, then present, in order and each flow once."""
    world = World()
    world.publish(12)
    assert list(expected) == [flow["revision"] for flow in read(world, asked, follow=follow)]


def test_hubbles_form() -> None:
    """The lines are Hubble's, those about losses too."""
    world = World()
    world.hub.publish(batch(1, 1, **DENIED))
    [found] = read(world, {"last": 1}, form=hubble_form("node-1"))
    assert ("DROPPED", "node-1") == (found["flow"]["verdict"], found["node_name"])
    lost: Any = hubble_form("node-1").lost(7)
    assert {"source": "OBSERVER_EVENTS_QUEUE", "num_events_lost": "7"} == lost["lost_events"]


def test_an_answer_that_was_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for everything and gets the newest is told first."""
    for module in ("past", "observation"):
        monkeypatch.setattr(f"ringfence.agent.{module}.MOST_FLOWS", 5)
    world = World()
    world.publish(12)
    found = read(world, {})
    assert {"newest_only": 5} == found[0]
    assert list(range(7, 12)) == [flow["revision"] for flow in found[1:]]
    assert 2 == len(read(world, {"last": 2}))


def test_what_is_not_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers that do not read what was found for them cannot fill the memory: others wait, or ask for less."""
    monkeypatch.setattr("ringfence.agent.observation.MOST_FLOWS", KEPT)
    monkeypatch.setattr("ringfence.agent.observation.MOST_HELD", KEPT + 4)
    everything, few = (FlowRequest.read(FlowQuery(), asked, 0) for asked in (Asked(), Asked(last=4)))

    async def ask() -> None:
        world = World()
        world.publish(12)
        observation = Observation(world.past)
        slow = await observation.answer(everything, Form())
        await anext(slow)
        with pytest.raises(Unavailable, match="8 flows found for others are not read yet; try again, or ask for fewer"):
            await observation.answer(everything, Form())
        assert 4 == sum([len(piece.splitlines()) async for piece in await observation.answer(few, Form())])
        [_ async for _ in slow]
        [_ async for _ in await observation.answer(everything, Form())]

    asyncio.run(ask())
