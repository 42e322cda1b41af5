"""A watcher: reads verdicts as they come, keeps the newest, and remembers which each revision gave first."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, cast

from ringfence.api.client import Client
from ringfence.errors import RingfenceError

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import FlowShape

NEWEST = 200
STOP_SECONDS = 2.0


class Watcher:
    """Follows the event stream of an agent on a thread of its own; the terms are those of `Client.events`."""

    def __init__(
        self, socket: str, *, from_: Sequence[str] = (), to: Sequence[str] = (), port: str | None = None
    ) -> None:
        self.newest: deque[FlowShape] = deque(maxlen=NEWEST)
        self.lost = 0
        self._client = Client(socket)
        self._from, self._to, self._port = from_, to, port
        self._first: dict[int, FlowShape] = {}
        self._seen = Condition()
        self._listening = Event()
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to listen; every verdict given after this returned is seen, or counted as lost."""
        self._thread.start()
        self._listening.wait()

    def stop(self) -> None:
        """Stop listening; whoever waits for a verdict waits no longer."""
        self._stop.set()
        self._client.interrupt()
        with self._seen:
            self._seen.notify_all()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def first_judged(self, revision: int, seconds: float) -> datetime | None:
        """Tell when the first packet was judged by a revision or a later one; wait for it some seconds."""
        flow = self.first_flow(revision, seconds)
        return None if flow is None else datetime.fromisoformat(flow["time"])

    def first_flow(self, revision: int, seconds: float | None = None) -> FlowShape | None:
        """Tell the first verdict by a revision or a later one; wait for it some seconds, or until the watcher ends."""
        with self._seen:
            self._seen.wait_for(lambda: self._stop.is_set() or self._judged(revision), timeout=seconds)
            return min(self._judged(revision), key=_time, default=None)

    def _judged(self, revision: int) -> list[FlowShape]:
        return [flow for number, flow in self._first.items() if number >= revision]

    def _run(self) -> None:
        # The end of the agent ends the stream.
        with suppress(RingfenceError):
            self._follow()
        self._listening.set()
        self._stop.set()
        with self._seen:
            self._seen.notify_all()

    def _follow(self) -> None:
        with self._client as client, client.events(from_=self._from, to=self._to, port=self._port) as events:
            self._listening.set()
            for event in events:
                lost = event.get("lost")
                if lost is not None:
                    self.lost += cast("int", lost)
                else:
                    self._note(cast("FlowShape", event))
                if self._stop.is_set():
                    return

    def _note(self, flow: FlowShape) -> None:
        self.newest.append(flow)
        with self._seen:
            earliest = self._first.get(flow["revision"], flow)
            self._first[flow["revision"]] = min(earliest, flow, key=_time)
            self._seen.notify_all()


def _time(flow: FlowShape) -> str:
    """All times have the same form, so that their texts are in order as they are."""
    return flow["time"]
