from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ringfence.agent.changes import WINDOW_SECONDS, Changes
from ringfence.agent.journal import Journal
from ringfence.agent.wiring import Wiring
from ringfence.engine.engine import Engine
from ringfence.engine.events import EndpointAdded, EndpointRemoved, Event, Restored
from ringfence.errors import NotFound, RingfenceError
from tests.unit.api.running import Kernel
from tests.unit.engine.script import workload

Script = Callable[[Changes], Coroutine[Any, Any, None]]
W = [workload(f"w{number}", "web", f"10.0.0.{number}", number) for number in range(1, 6)]


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def run(kernel: Kernel, tmp_path: Path) -> Callable[[Script], Journal]:
    """Run a script of changes in a loop; gives the journal as the next agent will read it."""

    def run_script(script: Script, window: float = WINDOW_SECONDS) -> Journal:
        journal = Journal(tmp_path / "journal.jsonl")

        async def main() -> None:
            engine = Engine()
            wiring = Wiring(kernel, engine.endpoints)
            changes = Changes(engine, kernel, journal, wiring, window)
            changes.now(Restored())
            await script(changes)
            await wiring.settle()

        asyncio.run(main())
        journal.close()
        return Journal(tmp_path / "journal.jsonl")

    return run_script


def test_lone_change_is_made_at_once(run: Callable[[Script], Journal], kernel: Kernel) -> None:
    """A change that follows no other does not wait: it is active before anything else gets its turn."""

    async def script(changes: Changes) -> None:
        before = kernel.commits
        waiting = asyncio.ensure_future(changes.make(EndpointAdded(W[0])))
        await asyncio.sleep(0)
        assert before + 1 == kernel.commits
        assert kernel.revision == (await waiting).revision

    run(script)


def test_changes_within_the_window_are_one_commit(run: Callable[..., Journal], kernel: Kernel) -> None:
    """What comes while the window after a commit is open becomes one commit together, in the order it came."""

    async def script(changes: Changes) -> None:
        await changes.make(EndpointAdded(W[0]))
        before = kernel.commits
        made = await asyncio.gather(*(changes.make(EndpointAdded(each)) for each in W[1:]))
        assert before + 1 == kernel.commits
        assert {kernel.revision} == {each.revision for each in made}

    # Long enough that no pause of this machine ends it.
    assert 5 == len(list(run(script, window=1).items("endpoint")))


def test_bad_change_harms_no_other(run: Callable[[Script], Journal]) -> None:
    """Of changes that would be one commit, the one that the engine refuses fails alone."""

    async def script(changes: Changes) -> None:
        await changes.make(EndpointAdded(W[0]))
        events: list[Event] = [EndpointAdded(W[1]), EndpointRemoved("nobody"), EndpointAdded(W[2])]
        results = await asyncio.gather(*(changes.make(event) for event in events), return_exceptions=True)
        assert [False, True, False] == [isinstance(each, NotFound) for each in results]

    assert 3 == len(list(run(script).items("endpoint")))


def test_refused_commit_is_tried_one_by_one(run: Callable[[Script], Journal], kernel: Kernel) -> None:
    """When the kernel refuses several changes together, each is made on its own; one that still fails, fails alone."""

    async def script(changes: Changes) -> None:
        await changes.make(EndpointAdded(W[0]))
        kernel.refuse = 2  # all together, then the first alone
        results = await asyncio.gather(*(changes.make(EndpointAdded(each)) for each in W[1:4]), return_exceptions=True)
        assert [True, False, False] == [isinstance(each, RingfenceError) for each in results]

    names = [value["name"] for _, value in run(script).items("endpoint")]
    assert ["w1", "w3", "w4"] == names


def test_row_of_a_refused_commit_is_empty(run: Callable[[Script], Journal], kernel: Kernel) -> None:
    """A row that was filled for a commit which then failed is emptied; one that was overwritten is as before."""

    async def script(changes: Changes) -> None:
        await changes.make(EndpointAdded(W[0]))
        kernel.refuse = 1
        with pytest.raises(RingfenceError, match="the map is full"):
            await changes.make(EndpointAdded(W[1]))
        assert "endpoint 2: gone" == kernel.lines[-1]

    run(script)
