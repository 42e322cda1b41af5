"""Hubble's API beside the agent of a test, in its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ringfence.agent.hubble import HubbleServer, observed
from ringfence.agent.listening import Listen
from tests.unit.api.running import Running

Result = TypeVar("Result")


@dataclass
class Served:
    """An agent that Hubble's clients can ask at `target`."""

    agent: Running
    listen: Listen | None
    _serving: asyncio.Task[None] = field(init=False)

    @property
    def target(self) -> str:
        return f"unix:{self.agent.directory}/hubble.sock"

    def call(self, work: Callable[[], Result]) -> Result:
        """What a function answers in the agent's loop."""

        async def done() -> Result:
            return work()

        return self._run(done())

    def start(self) -> None:
        """Listen, and answer from now on."""
        self.call(self._start)

    def stop(self) -> None:
        """End the server, and wait until it has ended."""
        self.call(self._server.stop)
        self._run(self._ended())

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.agent._loop).result(timeout=20)

    def _start(self) -> None:
        about = observed(self.agent.parts, "node-1")
        self._server = HubbleServer(self.agent.directory / "hubble.sock", self.listen, about)
        self._serving = asyncio.get_running_loop().create_task(self._server.serve())

    async def _ended(self) -> None:
        await self._serving


@contextmanager
def serving(agent: Running, listen: Listen | None = None) -> Iterator[Served]:
    """Serve for the length of a block."""
    served = Served(agent, listen)
    served.start()
    try:
        yield served
    finally:
        served.stop()
