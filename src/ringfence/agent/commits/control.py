"""Commits as the API has them: changes of what is wanted, written down; their history; the way back; confirming."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic, time, time_ns

from ringfence.agent.changes import Changes
from ringfence.agent.commits import shown
from ringfence.agent.commits.confirming import Confirming, Pending
from ringfence.agent.commits.log import CommitLog
from ringfence.agent.commits.record import Note, State
from ringfence.agent.commits.rollback import WayBack, way_back
from ringfence.agent.journal import Item, Journal
from ringfence.agent.kernel import Kernel
from ringfence.agent.namespaces import Namespaces
from ringfence.agent.node_policies import NodePolicies
from ringfence.agent.store import PolicyFiles
from ringfence.api.author import author
from ringfence.api.commit_shapes import CommitDetail, CommitShape, RollbackRequest
from ringfence.api.shapes import Applied
from ringfence.engine.engine import Engine
from ringfence.engine.events import Event, Together
from ringfence.errors import BadInput, RingfenceError
from ringfence.flow.format import rfc3339
from ringfence.flow.when import parse_time

_LONGEST_SECONDS = 24 * 3600


class Commits:
    """What is behind the routes about commits, and behind every change that is somebody's to answer for."""

    def __init__(
        self,
        engine: Engine,
        kernel: Kernel,
        changes: Changes,
        files: PolicyFiles,
        namespaces: Namespaces,
        log: CommitLog,
        node: NodePolicies,
    ) -> None:
        self._engine = engine
        self._kernel = kernel
        self._changes = changes
        self._files = files
        self._namespaces = namespaces
        self._log = log
        self._node = node
        self._confirming = Confirming(self._not_confirmed)

    def resume(self, journal: Journal) -> None:
        """Go on with what an earlier agent waited for."""
        self._confirming.resume(journal)

    def close(self) -> None:
        """Stop waiting; the next agent goes on."""
        self._confirming.close()

    def warnings(self) -> list[str]:
        """What `status` says."""
        return [*self._confirming.warnings(), *([self._log.problem] if self._log.problem else [])]

    async def change(
        self,
        event: Event,
        did: str,
        changed: Mapping[str, str],
        remember: Mapping[Item, object] | None = None,
        confirm_seconds: float = 0,
    ) -> Applied:
        """Make a change of what is wanted, written down as what the author of the request did.

        With `confirm_seconds` it goes back after that time. Raises `RingfenceError` with nothing changed.
        """
        start, asks = monotonic(), author()
        self._confirming.check_free()
        pending = self._pending(confirm_seconds) if confirm_seconds else None
        waits = self._confirming.remember(pending) if pending else {}
        if pending:
            self._confirming.begin(pending)
        try:
            note = Note(asks.name, did, changed, asks.why)
            made = await self._changes.make(event, {**(remember or {}), **waits}, note)
        except RingfenceError:
            if pending:
                self._confirming.end()
            raise
        self._files.confirm(remember or {})
        applied = _applied(made.revision, changed, start)
        return {**applied, "goes_back_at": rfc3339(pending.until)} if pending else applied

    async def roll_back(self, revision: int, request: RollbackRequest) -> Applied:
        """Bring what was wanted at a revision into force. Raises `NotFound` for one that the log does not reach, and
        `BadInput` where it would cut a connection that it must not.
        """
        state = await asyncio.to_thread(self._log.state_at, revision)
        back = self._way_back(state)
        self._node.guard(request, back.policies, back.gone)
        confirm = request.get("confirm_seconds", 0)
        applied = await self.change(back.event, f"rollback to {revision}", back.changed, back.remember, confirm)
        self._namespaces.confirm(back.namespaces)
        return applied

    async def confirm(self) -> Applied:
        """The change that waits stays. Raises `NotFound` if none does."""
        start, asks = monotonic(), author()
        self._confirming.end()
        note = Note(asks.name, "confirm", {}, asks.why)
        made = await self._changes.make(Together(()), self._confirming.forget(), note)
        return _applied(made.revision, {}, start)

    async def take_back(self) -> Applied:
        """The change that waits goes back now. Raises `NotFound` if none does."""
        asks, pending = author(), self._confirming.waiting()
        return await self._go_back(pending, Note(asks.name, "take back", {}, asks.why))

    async def history(self, since: str | None, *, everything: bool) -> list[CommitShape]:
        """The commits that are kept, the oldest first: those by which somebody changed what is wanted, or all."""
        since_ns = parse_time(since, time_ns()) if since else 0
        return await asyncio.to_thread(shown.history, self._log, since_ns / 1e9, everything=everything)

    async def commit(self, revision: int) -> CommitDetail:
        """One commit, what it changed as text, and what was in force after it. Raises `NotFound`."""
        return await asyncio.to_thread(shown.detail, self._log, revision)

    async def state_at(self, when: str) -> State:
        """What was wanted, and what ran, at a time. Raises `BadInput` for what is no time, and `NotFound`."""
        seconds = parse_time(when, time_ns()) / 1e9
        return await asyncio.to_thread(self._log.state_when, seconds)

    def _pending(self, seconds: float) -> Pending:
        if not 1 <= seconds <= _LONGEST_SECONDS:
            raise BadInput(f"{seconds:g} s is no time to confirm within: write 1s to 24h")
        if self._log.problem:
            raise RingfenceError(f"nothing could go back: {self._log.problem}")
        return Pending(self._kernel.revision, time() + seconds)

    async def _not_confirmed(self, pending: Pending) -> None:
        await self._go_back(pending, Note("ringfence", "take back", {}, "not confirmed in time"))

    async def _go_back(self, pending: Pending, note: Note) -> Applied:
        start = monotonic()
        state = await asyncio.to_thread(self._log.state_at, pending.back_to)
        back = self._way_back(state)
        whole = Note(note.by, note.did, back.changed, note.why)
        made = await self._changes.make(back.event, {**back.remember, **self._confirming.forget()}, whole)
        self._files.confirm(back.remember)
        self._namespaces.confirm(back.namespaces)
        if self._confirming.pending is pending:
            self._confirming.end()
        return _applied(made.revision, back.changed, start)

    def _way_back(self, state: State) -> WayBack:
        return way_back(state, self._engine, self._files, self._namespaces)


def _applied(revision: int, changed: Mapping[str, str], start: float) -> Applied:
    milliseconds = round((monotonic() - start) * 1000, 3)
    return {"revision": revision, "applied": list(changed), "warnings": [], "milliseconds": milliseconds}
