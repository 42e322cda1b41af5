"""Flips: entries set and taken back by hand, each in one commit, and the time until the first packet was judged by it.

The time runs from the call to the verdict of the next packet of the flows concerned that the new revision, or a later
one, judged. Nothing is sent for the purpose: where nobody speaks there is no such packet yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock, Thread
from typing import TYPE_CHECKING, Protocol

from ringfence.api.client import Client
from ringfence.api.watch import Watcher
from ringfence.errors import RingfenceError
from ringfence.tui.byhand import Standing, standing
from ringfence.tui.feeds import Tell
from ringfence.tui.flowlist import FlowKey
from ringfence.tui.news import ByHandCame, Failed, Judged, Made

if TYPE_CHECKING:
    from ringfence.api.shapes import EntryKey, EntryRequest


class Companion(Protocol):
    """Somebody who goes along with flips: the demo, which counts what it sends by phases."""

    def before_flip(self, flow: FlowKey | None) -> None:
        """A change is about to be made, of one flow or of several."""

    def after_flip(self, milliseconds: float | None) -> None:
        """The first packet was judged by it; with None the change was not made."""

    def lines(self) -> Sequence[str]:
        """What it wants to have shown, now; always as many."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose next packet tells that a change is in force: identities of either end, and a port."""

    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    port: str | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """What to set and what to delete; with nothing set, something is taken back."""

    entries: Standing
    set: Sequence[EntryRequest] = ()
    delete: Sequence[EntryKey] = ()

    def changes(self, now: Standing) -> bool:
        """Whether there is anything to do."""
        if not self.entries:
            return bool(self.set or self.delete)
        return any(now.get(key) != action for key, action in self.entries.items())


@dataclass(frozen=True, slots=True)
class Change:
    """A change by hand, planned when it is known what is set by hand just then."""

    what: str
    watched: Watched
    plan: Callable[[Standing], Planned]
    flow: FlowKey | None = None


class Flips:
    """Makes changes one after the other, each on a thread of its own; the newest is the one that is waited for."""

    def __init__(self, socket: str, tell: Tell, companion: Companion | None = None) -> None:
        self._socket = socket
        self._tell = tell
        self._companion = companion
        self._one = Lock()
        self._watcher: Watcher | None = None
        self._ended = False

    def make(self, change: Change) -> Thread:
        """Make a change; what comes of it is told. The thread ends with the first packet, or the next change."""
        thread = Thread(target=self._make, args=(change,), daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Wait for no packet any more."""
        self._ended = True
        if self._watcher is not None:
            self._watcher.stop()

    def _make(self, change: Change) -> None:
        try:
            with self._one:
                made = self._commit(change)
        except RingfenceError as error:
            self._tell(Failed(change.what, str(error)))
        else:
            if made is not None:
                self._await(change, *made)

    def _commit(self, change: Change) -> tuple[int, datetime, Watcher] | None:
        """Make the change; None where there is nothing left to be changed."""
        if self._watcher is not None:
            self._watcher.stop()
        with Client(self._socket) as client:
            before = standing(client.entries(by_hand=True))
            planned = change.plan(before)
            if not planned.changes(before):
                if planned.entries:
                    raise RingfenceError("it is so already")
                self._tell(Made(change.what, client.status()["revision"], {}, before))
                return None
            self._watcher = watcher = self._watch(change)
            called = datetime.now(UTC)
            try:
                revision = client.change_entries(set_=planned.set, delete=planned.delete)["revision"]
            except RingfenceError:
                self._tell_companion(None)
                raise
            self._tell(Made(change.what, revision, planned.entries, before))
            self._tell(ByHandCame(client.entries(by_hand=True)))
        if self._ended:
            watcher.stop()
        return revision, called, watcher

    def _watch(self, change: Change) -> Watcher:
        """Listen before the call: of packets that come meanwhile none is missed."""
        if self._companion is not None:
            self._companion.before_flip(change.flow)
        watched = change.watched
        watcher = Watcher(self._socket, from_=watched.sources, to=watched.destinations, port=watched.port)
        watcher.start()
        return watcher

    def _await(self, change: Change, revision: int, called: datetime, watcher: Watcher) -> None:
        flow = watcher.first_flow(revision)
        watcher.stop()
        # A change that was made since has its own beginning, and no end of another's.
        if flow is not None and self._watcher is watcher:
            milliseconds = (datetime.fromisoformat(flow["time"]) - called).total_seconds() * 1000
            self._tell(Judged(change.what, revision, milliseconds, flow))
            self._tell_companion(milliseconds)

    def _tell_companion(self, milliseconds: float | None) -> None:
        if self._companion is not None:
            self._companion.after_flip(milliseconds)
