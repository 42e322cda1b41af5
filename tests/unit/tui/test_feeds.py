from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import TypeVar

import pytest

from ringfence.tui.feeds import DigestFeed, PollFeed
from ringfence.tui.news import (
    ByHandCame,
    Digested,
    EndpointsCame,
    Gone,
    News,
    PolicyCame,
    Refused,
    RulesCame,
    StatusCame,
)
from ringfence.tui.terms import NOTHING_ASKED, parse_line
from tests.unit.api.running import Running, running
from tests.unit.flow.batch import event

SECONDS = 20.0
Kind = TypeVar("Kind", bound=News)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def told() -> Queue[News]:
    return Queue()


@contextmanager
def digests(agent: Running, told: Queue[News]) -> Iterator[DigestFeed]:
    feed = DigestFeed(str(agent.socket), 0.05, told.put)
    feed.start()
    try:
        yield feed
    finally:
        feed.stop()


@contextmanager
def polls(agent: Running, told: Queue[News]) -> Iterator[PollFeed]:
    feed = PollFeed(str(agent.socket), told.put)
    feed.start()
    try:
        yield feed
    finally:
        feed.stop()


def next_of(told: Queue[News], kind: type[Kind]) -> Kind:
    """The next news of a kind; what comes before it is passed over."""
    while not isinstance(news := told.get(timeout=SECONDS), kind):
        pass
    return news


def test_the_agent_filters(agent: Running, told: Queue[News]) -> None:
    """After another question only what it asks for comes, and every digest says which question it answers."""
    wanted = parse_line("port:80/TCP")
    with digests(agent, told) as feed:
        assert NOTHING_ASKED is next_of(told, Digested).asked
        feed.ask(wanted)
        while next_of(told, Digested).asked is not wanted:
            pass
        agent.publish(event(destination_port=8080))
        agent.publish(event(destination_port=80))
        while not (found := next_of(told, Digested).digest)["events"]:
            pass
    assert ["80/TCP"] == [flow["port"] for flow in found["flows"]]


def test_a_question_that_is_refused_gives_way_to_the_one_before(agent: Running, told: Queue[News]) -> None:
    """What the agent does not know is told once with the reason, and what was asked before goes on."""
    granted, unknown = parse_line("port:80/TCP"), parse_line("colour:red")
    with digests(agent, told) as feed:
        feed.ask(granted)
        while next_of(told, Digested).asked is not granted:
            pass
        feed.ask(unknown)
        refused = next_of(told, Refused)
        assert (unknown, granted) == (refused.asked, refused.instead)
        assert "colour" in refused.reason
        assert granted is next_of(told, Digested).asked


def test_an_agent_that_ends_is_gone(agent: Running, told: Queue[News]) -> None:
    """The end of the stream is told, and so is every attempt that finds nobody."""
    with digests(agent, told):
        next_of(told, Digested)
        agent.stop()
        assert next_of(told, Gone).reason
        assert "no agent answers" in next_of(told, Gone).reason


def test_only_what_is_looked_at_is_asked_for(agent: Running, told: Queue[News]) -> None:
    """State and entries by hand always come; endpoints and rules only while their tab is on the screen."""
    with polls(agent, told) as feed:
        assert isinstance(told.get(timeout=SECONDS), StatusCame)
        assert isinstance(told.get(timeout=SECONDS), ByHandCame)
        feed.look_at("endpoints")
        assert [] == next_of(told, EndpointsCame).endpoints
        feed.look_at("rules")
        next_of(told, RulesCame)
        next_of(told, StatusCame)
        feed.fetch_policy("CiliumNetworkPolicy/default/nobody")
        assert next_of(told, PolicyCame).policy is None
