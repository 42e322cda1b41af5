"""Wiring: hooking interfaces and unhooking them. Each waits some milliseconds for the kernel, so it is done in threads
beside everything else, in order for one interface and side by side for different ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ringfence.agent.kernel import Attachment, Kernel
from ringfence.engine.commands import Attach, Detach
from ringfence.engine.endpoints import Endpoints
from ringfence.errors import RingfenceError


class Wiring:
    """The interfaces' hooks; `attachments` by row of those that are."""

    def __init__(self, kernel: Kernel, endpoints: Endpoints) -> None:
        self._kernel = kernel
        self._endpoints = endpoints
        self._last: dict[int, asyncio.Task[None]] = {}
        self.attachments: dict[int, Attachment] = {}

    def start(self, commands: Sequence[Attach | Detach]) -> asyncio.Future[None]:
        """Begin with these. The future ends with the first failure, or when all are done."""
        tasks = [self._chain(command) for command in commands]
        return asyncio.ensure_future(_all(tasks))

    async def settle(self) -> None:
        """Wait for everything that was begun, however it ends."""
        await asyncio.gather(*self._last.values(), return_exceptions=True)

    def _chain(self, command: Attach | Detach) -> asyncio.Task[None]:
        before = self._last.get(command.ifindex)
        task = asyncio.create_task(self._carry_out(before, command))
        self._last[command.ifindex] = task
        task.add_done_callback(lambda _: self._forget(command.ifindex, task))
        return task

    async def _carry_out(self, before: asyncio.Task[None] | None, command: Attach | Detach) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            if isinstance(command, Attach):
                addresses = self._endpoints.addresses(command.row)
                found = await asyncio.to_thread(self._kernel.attach, command.row, command.ifindex, addresses)
                self.attachments[command.row] = found
            else:
                self.attachments.pop(command.row, None)
                await asyncio.to_thread(self._kernel.detach, command.ifindex)
        except OSError as error:
            raise RingfenceError(f"interface {command.ifindex}: {error}") from error

    def _forget(self, ifindex: int, task: asyncio.Task[None]) -> None:
        if self._last.get(ifindex) is task:
            del self._last[ifindex]
        if not task.cancelled():
            task.exception()  # whoever waits for it is told; with nobody waiting it is not lost in a log


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        await task
