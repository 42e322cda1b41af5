"""Wiring: hooking interfaces and unhooking them, and finding out how packets may be delivered to those that are hooked.

Hooking waits some milliseconds for the kernel, so it is done in threads beside everything else, in order for one
interface and side by side for different ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ringfence.abi import Delivery
from ringfence.agent.kernel import Attachment, Kernel
from ringfence.engine.commands import Attach, Detach
from ringfence.engine.endpoints import Endpoints
from ringfence.errors import RingfenceError

# The kernel makes each wait for a grace period, but all of them for the same one.
_SIDE_BY_SIDE = 32
_UNKNOWN = Attachment("", Delivery.STACK, "not looked at yet")
Result = TypeVar("Result")


class Wiring:
    """The interfaces' hooks; `attachments` by row of those that are."""

    def __init__(self, kernel: Kernel, endpoints: Endpoints) -> None:
        self._kernel = kernel
        self._endpoints = endpoints
        self._threads = ThreadPoolExecutor(_SIDE_BY_SIDE, "wiring")
        self._last: dict[int, asyncio.Task[None]] = {}
        self._hooked: dict[int, tuple[int, str]] = {}
        # What is found out later is stored later.
        self._looking = asyncio.Lock()
        self.attachments: dict[int, Attachment] = {}
        #: Told of every way of delivery that is stored (row, attachment), in the loop.
        self.stored: Callable[[int, Attachment], None] = lambda _row, _attachment: None

    def start(self, commands: Sequence[Attach | Detach]) -> asyncio.Future[None]:
        """Begin with these. The future ends when all are done, with the first failure if there was one."""
        tasks = [self._chain(command) for command in commands]
        rows = {command.row for command in commands if isinstance(command, Attach)}
        return asyncio.ensure_future(self._finish(tasks, rows))

    async def settle(self) -> None:
        """Wait for everything that was begun, however it ends."""
        await asyncio.gather(*self._last.values(), return_exceptions=True)
        async with self._looking:
            pass

    async def look_at_deliveries(self, rows: Collection[int] | None = None) -> list[Attachment]:
        """Find out anew how packets may be delivered to the endpoints in these rows, or all; those that have changed.

        Node routes and filters of this very moment count: whatever changes them is to be followed by another look.
        """
        async with self._looking:
            hooked = {row: place for row, place in self._hooked.items() if rows is None or row in rows}
            wanted = {row: self._endpoints.addresses(row) for row in hooked}
            by_interface = {hooked[row][0]: addresses for row, addresses in wanted.items()}
            found = await self._in_thread(partial(self._kernel.deliveries, by_interface)) if wanted else {}
            return [
                self._store(row, *found[place[0]])
                for row, place in hooked.items()
                # Its endpoint may have changed meanwhile: then another look is under way.
                if self._hooked.get(row) == place and self._endpoints.addresses(row) == wanted[row]
                if place[0] in found and found[place[0]] != self._known(row)
            ]

    def _known(self, row: int) -> tuple[Delivery, str]:
        known = self.attachments.get(row, _UNKNOWN)
        return known.delivery, known.delivery_reason

    def _store(self, row: int, delivery: Delivery, reason: str) -> Attachment:
        ifindex, mechanism = self._hooked[row]
        self._kernel.deliver(row, ifindex, delivery)
        self.attachments[row] = Attachment(mechanism, delivery, reason)
        self.stored(row, self.attachments[row])
        return self.attachments[row]

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
                mechanism = await self._in_thread(partial(self._kernel.attach, command.row, command.ifindex))
                self._hooked[command.row] = command.ifindex, mechanism
            else:
                if self._hooked.get(command.row, (0, ""))[0] == command.ifindex:
                    del self._hooked[command.row]
                    self.attachments.pop(command.row, None)
                await self._in_thread(partial(self._kernel.detach, command.ifindex))
        except OSError as error:
            raise RingfenceError(f"interface {command.ifindex}: {error}") from error

    async def _finish(self, tasks: list[asyncio.Task[None]], rows: set[int]) -> None:
        """One look at the deliveries of all, also when some of them could not be hooked."""
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if rows:
            await self.look_at_deliveries(rows)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _forget(self, ifindex: int, task: asyncio.Task[None]) -> None:
        if self._last.get(ifindex) is task:
            del self._last[ifindex]
        if not task.cancelled():
            task.exception()  # whoever waits for it is told; with nobody waiting it is not lost in a log

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
