"""Confirming: a change that goes back by itself unless somebody confirms it, also over a restart of the agent.

The journal remembers, in the transaction of the change, which revision it goes back to and when: whoever has cut
himself off need do nothing. Until then no other change of policies is taken: it would be unclear what goes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import time

import structlog

from ringfence.agent.journal import Item, Journal
from ringfence.errors import NotFound, RingfenceError
from ringfence.flow.format import rfc3339

_PENDING = Item("commit", "pending")
_AGAIN_SECONDS = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pending:
    """A change that is not confirmed: what it goes back to, and when (seconds since the epoch)."""

    back_to: int
    until: float


class Confirming:
    """The one change that may be waiting. `go_back` brings the state of a revision into force."""

    def __init__(self, go_back: Callable[[Pending], Awaitable[object]]) -> None:
        self._go_back = go_back
        self.pending: Pending | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._going: asyncio.Task[None] | None = None

    def resume(self, journal: Journal) -> None:
        """Go on waiting for what an earlier agent waited for."""
        for key, value in journal.items(_PENDING.kind):
            if key == _PENDING.key:
                self.begin(Pending(*value))

    def check_free(self) -> None:
        """Raises `RingfenceError` while a change waits."""
        if self.pending:
            raise RingfenceError(
                f"a change waits to be confirmed and goes back at {rfc3339(self.pending.until)}: first "
                "`ringfence policy confirm`, or `ringfence policy confirm --take-back`"
            )

    @staticmethod
    def remember(pending: Pending) -> dict[Item, object]:
        """What to remember with the change."""
        return {_PENDING: [pending.back_to, pending.until]}

    @staticmethod
    def forget() -> dict[Item, object]:
        """What to remember when it waits no more."""
        return {_PENDING: None}

    def begin(self, pending: Pending) -> None:
        """The change is active: wait."""
        self.pending = pending
        self._at(max(0.0, pending.until - time()))

    def waiting(self) -> Pending:
        """What waits. Raises `NotFound` if nothing does."""
        if self.pending is None:
            raise NotFound("no change waits to be confirmed")
        return self.pending

    def end(self) -> None:
        """It waits no more. Raises `NotFound` if nothing did."""
        self.waiting()
        self.close()
        self.pending = None

    def close(self) -> None:
        """Stop waiting in this process."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def warnings(self) -> list[str]:
        """What `status` says."""
        if not self.pending:
            return []
        return [f"a change of policies goes back at {rfc3339(self.pending.until)} unless confirmed"]

    def _at(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._over)

    def _over(self) -> None:
        self._going = asyncio.ensure_future(self._take_back())

    async def _take_back(self) -> None:
        pending = self.pending
        if pending is None:
            return
        try:
            await self._go_back(pending)
        except RingfenceError as error:
            # What is in force is not what anybody confirmed: it is tried until it is gone.
            _log.warning("change_cannot_go_back", error=str(error))
            if self.pending is pending:
                self._at(_AGAIN_SECONDS)
