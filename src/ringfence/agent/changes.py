"""Changes: the one queue through which everything that alters policy state goes, in the order it came.

A lone change is made at once. One that follows another within the window waits for its end, and all that came meanwhile
become one commit, for every commit makes each live flow be judged once more. Requests fail one by one: a request that
the engine refuses, or a commit that the kernel refuses, takes nothing of the others with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import Protocol

from ringfence.agent.commits.record import Note, Record, kept, noted
from ringfence.agent.journal import Item, Journal
from ringfence.agent.kernel import Attachment, Kernel
from ringfence.agent.maplog import Delivered, MapLog
from ringfence.agent.wiring import Wiring
from ringfence.api import shapes
from ringfence.engine.commands import (
    Attach,
    ClearEndpoint,
    Command,
    Commit,
    Detach,
    Remember,
    WriteEndpoint,
)
from ringfence.engine.engine import Engine
from ringfence.engine.events import Event
from ringfence.errors import RingfenceError
from ringfence.flow.format import rfc3339

# Short enough that a change which has to wait is still judged within 5 ms of the call.
WINDOW_SECONDS = 0.002


@dataclass(slots=True)
class _Request:
    event: Event
    remember: Mapping[Item, object]
    note: Note | None
    made: asyncio.Future[Made]


@dataclass(frozen=True, slots=True)
class Made:
    """A change that is active. `wired` ends when the interfaces concerned are hooked or unhooked, or could not be."""

    revision: int
    wired: asyncio.Future[None]


class Watcher(Protocol):
    """Who is told of commits, in the loop: it must neither wait nor raise."""

    def begin(self, commit: Commit) -> None:
        """A commit is about to be made."""

    def made(self, commit: Commit, begun: float) -> None:
        """It is active. `begun` is the monotonic time at which its changes were taken to be carried out."""

    def refused(self) -> None:
        """A change could not be carried out; nothing of it is left."""


class Log(Protocol):
    """Where commits are written down: `agent.commits.log`."""

    def note(self, record: Record) -> None:
        """Write one down. What cannot be written is its matter: the commit is made."""


class Changes:
    """Takes requests, commits, answers. `watcher` is told of commits; `log` keeps what was changed in the maps."""

    def __init__(
        self, engine: Engine, kernel: Kernel, journal: Journal, wiring: Wiring, window: float = WINDOW_SECONDS
    ) -> None:
        self._window = window
        self._engine = engine
        self._kernel = kernel
        self._journal = journal
        self._wiring = wiring
        self._waiting: list[_Request] = []
        self._open_at = 0.0
        self.last_commit: shapes.LastCommit | None = None
        self.watcher: Watcher | None = None
        self.commit_log: Log | None = None
        self.log = MapLog()
        wiring.stored = self._note_delivery

    async def make(self, event: Event, remember: Mapping[Item, object] | None = None, note: Note | None = None) -> Made:
        """Make an event so, remember some values with it, and write down what `note` says of it.

        Raises `RingfenceError` with nothing changed.
        """
        loop = asyncio.get_running_loop()
        request = _Request(event, remember or {}, note, loop.create_future())
        self._waiting.append(request)
        if len(self._waiting) == 1:
            wait = self._open_at - monotonic()
            if wait <= 0:
                self._flush()
            else:
                loop.call_later(wait, self._flush)
        return await request.made

    def now(self, event: Event) -> asyncio.Future[None]:
        """Make an event so before there is anybody to wait: at the start. Raises `RingfenceError`."""
        self._engine.take(event)
        return self._carry_out({}, [event])

    def _flush(self) -> None:
        requests, self._waiting = self._waiting, []
        self._serve(requests)
        self._open_at = monotonic() + self._window

    def _serve(self, requests: list[_Request]) -> None:
        taken = [request for request in requests if self._take(request)]
        if not taken:
            return
        try:
            remember = {item: value for each in taken for item, value in each.remember.items()}
            wired = self._carry_out(
                remember, [each.event for each in taken], [each.note for each in taken if each.note]
            )
        except (RingfenceError, OSError) as error:
            if len(taken) > 1:
                for request in taken:
                    self._serve([request])
            else:
                taken[0].made.set_exception(_told(error))
                if self.watcher:
                    self.watcher.refused()
            return
        for request in taken:
            if not request.made.done():
                request.made.set_result(Made(self._kernel.revision, wired))

    def _take(self, request: _Request) -> bool:
        if request.made.done():  # cancelled: nobody waits for it any more
            return False
        try:
            self._engine.take(request.event)
        except RingfenceError as error:
            request.made.set_exception(error)
            return False
        return True

    def _carry_out(
        self, remember: Mapping[Item, object], because: Sequence[Event], notes: Sequence[Note] = ()
    ) -> asyncio.Future[None]:
        """The commands of what was taken. A failure takes all of it back and raises."""
        start, start_time = monotonic(), time()
        commands = self._engine.commands()
        done: list[Command] = []
        items = {**remember, **_items(commands)}
        if self._journal.lacks(kept(items)) and notes and not any(isinstance(each, Commit) for each in commands):
            # What is wanted has changed and no packet is concerned yet: it has its own revision to go back to.
            commands.append(Commit())
        try:
            self._journal.write(items | noted(notes, start_time) if kept(items) else items)
            for command in commands:
                if isinstance(command, Commit) and self.watcher:
                    self.watcher.begin(command)
                if isinstance(command, WriteEndpoint | Commit | ClearEndpoint):
                    self._kernel.write(command)
                    done.append(command)
        except BaseException:
            self._take_back(done)
            raise
        self._engine.done()
        self._name_services(commands)
        self._note(commands, start)
        if self.commit_log:
            self.commit_log.note(Record(self._kernel.revision, start_time, tuple(notes), kept(items)))
        self.log.note(done, self._kernel.revision, because)
        return self._wiring.start([command for command in commands if isinstance(command, Attach | Detach)])

    def _name_services(self, commands: Iterable[Command]) -> None:
        """Events name a service by the row that the kernel's side has given its frontend."""
        for commit in (command for command in commands if isinstance(command, Commit)):
            for frontend, row in commit.services.items():
                if row is not None:
                    self._engine.known.service(self._kernel.service_row(frontend), row.name)

    def _take_back(self, done: list[Command]) -> None:
        """The commit took itself back; the rows that were filled for it did not."""
        self._engine.undo()
        self._journal.take_back()
        for command in done:
            if isinstance(command, WriteEndpoint):
                name = self._engine.endpoints.name_of(command.row)
                endpoint = self._engine.endpoints.get(name) if name else None
                there = endpoint and endpoint.row == command.row and endpoint.workload.ifindex
                self._kernel.write(endpoint.command if endpoint and there else ClearEndpoint(command.row))

    def _note_delivery(self, row: int, found: Attachment) -> None:
        self.log.note(
            [Delivered(row, found.delivery, found.delivery_reason)],
            self._kernel.revision,
            ["another way of delivery was found"],
        )

    def _note(self, commands: list[Command], start: float) -> None:
        seconds = monotonic() - start
        for commit in (command for command in commands if isinstance(command, Commit)):
            self.last_commit = {
                "revision": self._kernel.revision,
                "time": rfc3339(time()),
                "entries": len(commit.policy),
                "prefixes": len(commit.peers),
                "rules": len(commit.rules),
                "milliseconds": round(seconds * 1000, 3),
            }
            if self.watcher:
                self.watcher.made(commit, start)


def _items(commands: list[Command]) -> dict[Item, object]:
    remembered = (command for command in commands if isinstance(command, Remember))
    return {Item(*item): value for command in remembered for item, value in command.items.items()}


def _told(error: RingfenceError | OSError) -> RingfenceError:
    return error if isinstance(error, RingfenceError) else RingfenceError(f"the kernel refused the change: {error}")
