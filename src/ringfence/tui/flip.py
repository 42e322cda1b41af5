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

    def first_judged(self, milliseconds: float) -> None:
        """The first packet was judged by it."""

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
                revision, called, watcher = self._commit(change)
        except RingfenceError as error:
            self._tell(Failed(change.what, str(error)))
            return
        flow = watcher.first_flow(revision)
        if flow is not None:
            judged = datetime.fromisoformat(flow["time"])
            milliseconds = (judged - called).total_seconds() * 1000
            self._tell(Judged(change.what, revision, milliseconds, flow))
            if self._companion is not None:
                self._companion.first_judged(milliseconds)
        watcher.stop()

    def _commit(self, change: Change) -> tuple[int, datetime, Watcher]:
        with Client(self._socket) as client:
            if self._watcher is not None:
                self._watcher.stop()
            if self._companion is not None:
                self._companion.before_flip(change.flow)
            watched = change.watched
            # It listens before the call: of packets that come meanwhile none is missed.
            self._watcher = watcher = Watcher(
                self._socket, from_=watched.sources, to=watched.destinations, port=watched.port
            )
            watcher.start()
            # The request before the one that is timed has made the connection.
            before = standing(client.entries(by_hand=True))
            planned = change.plan(before)
            called = datetime.now(UTC)
            revision = client.change_entries(set_=planned.set, delete=planned.delete)["revision"]
            self._tell(Made(change.what, revision, planned.entries, before))
            self._tell(ByHandCame(client.entries(by_hand=True)))
        if self._ended:
            watcher.stop()
        return revision, called, watcher
