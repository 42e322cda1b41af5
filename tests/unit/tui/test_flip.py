from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue

import pytest

from ringfence.api.client import Client
from ringfence.api.flow_shapes import FlowShape
from ringfence.tui.changes import clearing_all, flipping, undoing
from ringfence.tui.flip import Flips
from ringfence.tui.flowlist import FlowKey
from ringfence.tui.news import ByHandCame, Failed, Judged, Made, News
from ringfence.tui.picture import Picture
from tests.unit.api.running import Running, running
from tests.unit.flow.batch import event
from tests.unit.tui.shop import flow

SECONDS = 20.0
LATER = 4_000_000_000_000_000_000  # ns: 2096


class Beside:
    """A companion that notes what it is told."""

    def __init__(self) -> None:
        self.told: Queue[str] = Queue()

    def before_flip(self, flow: FlowKey | None) -> None:
        self.told.put(f"before {flow.port if flow else 'several'}")

    def after_flip(self, milliseconds: float | None) -> None:
        self.told.put("judged" if milliseconds is not None else "not made")

    def lines(self) -> Sequence[str]:
        return ()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as found, Client(str(found.socket)) as client:
        client.put_endpoint("shop/web", netns="1", labels=["app=web"], namespace="shop")
        client.put_endpoint("shop/client", netns="2", labels=["app=client"], namespace="shop")
        yield found


@pytest.fixture
def told() -> Queue[News]:
    return Queue()


@pytest.fixture
def beside() -> Beside:
    return Beside()


@pytest.fixture
def flips(agent: Running, told: Queue[News], beside: Beside) -> Iterator[Flips]:
    found = Flips(str(agent.socket), told.put, beside)
    yield found
    found.stop()


def denied(port: str = "8080/TCP") -> FlowShape:
    return flow("client", port, "deny")


def by_hand(agent: Running) -> list[tuple[str, str]]:
    with Client(str(agent.socket)) as client:
        return [(entry["traffic"], entry["action"]) for entry in client.entries(by_hand=True)]


def test_a_flip_is_one_commit_and_tells_the_first_packet_judged_by_it(
    agent: Running, flips: Flips, told: Queue[News], beside: Beside
) -> None:
    """It is active when it is told; packets of other flows and of the revision before do not count for its time."""
    before = agent.kernel.commits
    flips.make(flipping(denied(), "allow"))
    made = told.get(timeout=SECONDS)
    assert isinstance(made, Made)
    assert before + 1 == agent.kernel.commits
    assert [("8080/TCP", "allow")] == by_hand(agent)
    assert isinstance(told.get(timeout=SECONDS), ByHandCame)
    agent.publish(event(revision=made.revision, destination_port=80, time=LATER))
    agent.publish(event(revision=made.revision - 1, time=LATER))
    agent.publish(event(revision=made.revision, time=LATER + 5_000_000))
    judged = told.get(timeout=SECONDS)
    assert isinstance(judged, Judged)
    assert (made.revision, "8080/TCP", "2096-10-02T07:06:40.005000Z") == (
        judged.flow["revision"],
        judged.flow["port"],
        judged.flow["time"],
    )
    assert judged.milliseconds > 0
    assert ["before 8080/TCP", "judged"] == [beside.told.get(timeout=SECONDS) for _ in range(2)]


def test_what_is_so_already_is_not_made_again(agent: Running, flips: Flips, told: Queue[News]) -> None:
    """A flip that changes nothing is told as such: there will be no packet that shows it."""
    flips.make(flipping(denied(), "deny"))
    assert isinstance(told.get(timeout=SECONDS), Made)
    before = agent.kernel.commits
    flips.make(flipping(denied(), "deny"))
    told.get(timeout=SECONDS)
    failed = told.get(timeout=SECONDS)
    assert isinstance(failed, Failed)
    assert "so already" in failed.reason
    assert before == agent.kernel.commits


def test_the_newest_flip_is_the_one_that_is_waited_for(agent: Running, flips: Flips, told: Queue[News]) -> None:
    """A packet judged by a later flip tells nothing about an earlier one, whose wait has ended."""
    first = flips.make(flipping(denied(), "deny"))
    assert isinstance(told.get(timeout=SECONDS), Made)
    told.get(timeout=SECONDS)
    flips.make(flipping(denied(), "allow"))
    second = told.get(timeout=SECONDS)
    assert isinstance(second, Made)
    first.join(SECONDS)
    told.get(timeout=SECONDS)
    agent.publish(event(revision=second.revision, time=LATER))
    judged = told.get(timeout=SECONDS)
    assert isinstance(judged, Judged)
    assert judged.what == second.what
    assert told.empty()


def test_a_commit_that_fails_changes_nothing(agent: Running, flips: Flips, told: Queue[News], beside: Beside) -> None:
    """What the kernel refuses is told with its reason, and whoever goes along learns that it was not made."""
    agent.kernel.refuse = 1
    flips.make(flipping(denied(), "allow"))
    failed = told.get(timeout=SECONDS)
    assert isinstance(failed, Failed)
    assert "the map is full" in failed.reason
    assert [] == by_hand(agent)
    assert ["before 8080/TCP", "not made"] == [beside.told.get(timeout=SECONDS) for _ in range(2)]


def test_all_is_taken_back_in_one_commit(agent: Running, flips: Flips, told: Queue[News]) -> None:
    """Undoing leaves what others have set; clearing leaves nothing."""
    picture = Picture()
    with Client(str(agent.socket)) as client:
        client.set_entry({"direction": "ingress", "subject": 256, "peer": 257, "action": "deny"})
    for port in ("8080/TCP", "80/TCP"):
        flips.make(flipping(denied(port), "allow"))
        picture.take(told.get(timeout=SECONDS))
        picture.take(told.get(timeout=SECONDS))
    before = agent.kernel.commits
    flips.make(undoing(picture))
    picture.take(told.get(timeout=SECONDS))
    picture.take(told.get(timeout=SECONDS))
    assert before + 1 == agent.kernel.commits
    assert [("any", "deny")] == by_hand(agent)
    assert {} == picture.ledger.mine
    flips.make(clearing_all(picture))
    picture.take(told.get(timeout=SECONDS))
    assert [] == by_hand(agent)


def test_without_an_agent_a_flip_fails_in_a_line(tmp_path: Path, told: Queue[News]) -> None:
    """Nobody there is a reason like any other."""
    Flips(str(tmp_path / "none.sock"), told.put).make(flipping(denied(), "allow")).join(SECONDS)
    failed = told.get(timeout=SECONDS)
    assert isinstance(failed, Failed)
    assert "no agent answers" in failed.reason
