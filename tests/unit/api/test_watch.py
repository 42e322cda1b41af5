from __future__ import annotations

from threading import Thread

from ringfence.api.watch import Watcher
from tests.unit.api.running import Running
from tests.unit.flow.batch import event

SECONDS = 10.0


def test_the_first_verdict_of_a_revision_or_a_later_one_is_known(agent: Running) -> None:
    """Asked for a revision that judged nothing, the watcher tells the first verdict of the next that did."""
    watcher = Watcher(str(agent.socket))
    watcher.start()
    agent.publish(event(revision=3, time=5_000))
    agent.publish(event(revision=5, time=9_000))
    agent.publish(event(revision=5, time=7_000))
    agent.publish(event(revision=9, time=8_000))
    assert watcher.first_flow(9, SECONDS)
    first = watcher.first_flow(4, SECONDS)
    assert first is not None
    assert (5, "1970-01-01T00:00:00.000007Z") == (first["revision"], first["time"])
    assert watcher.first_flow(10, 0) is None
    watcher.stop()


def test_a_watcher_of_one_flow_sees_no_other(agent: Running) -> None:
    """With terms it follows only what they ask for."""
    watcher = Watcher(str(agent.socket), port="8080/TCP")
    watcher.start()
    agent.publish(event(revision=4, destination_port=80))
    agent.publish(event(revision=5, destination_port=8080))
    assert watcher.first_flow(5, SECONDS)
    assert ["8080/TCP"] == [flow["port"] for flow in watcher.newest]
    watcher.stop()


def test_who_waits_for_a_verdict_is_let_go_when_the_watcher_stops(agent: Running) -> None:
    """Stopping ends a wait that has no bound of its own, without another verdict."""
    watcher = Watcher(str(agent.socket))
    watcher.start()
    found: list[object] = []
    waiting = Thread(target=lambda: found.append(watcher.first_flow(1)))
    waiting.start()
    watcher.stop()
    waiting.join(SECONDS)
    assert [None] == found
