"""A watcher: reads a lab's verdicts as they come, keeps the newest, and remembers when each revision first judged."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from datetime import datetime
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, cast

from ringfence.api.client import Client
from ringfence.errors import RingfenceError

if TYPE_CHECKING:
    from ringfence.api.shapes import FlowShape

NEWEST = 200
STOP_SECONDS = 2.0


class Watcher:
    """Follows the event stream of an agent on a thread of its own."""

    def __init__(self, socket: str) -> None:
        self.newest: deque[FlowShape] = deque(maxlen=NEWEST)
        self.lost = 0
        self._socket = socket
        self._first_judged: dict[int, datetime] = {}
        self._seen = Condition()
        self._listening = Event()
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to listen; every verdict given after this returned is seen, or counted as lost."""
        self._thread.start()
        self._listening.wait()

    def stop(self) -> None:
        """Stop at the next verdict: there must still be traffic, or a moment is waited in vain."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def first_judged(self, revision: int, seconds: float) -> datetime | None:
        """Tell when the first packet was judged by a revision or a later one; wait for it some seconds."""
        with self._seen:
            self._seen.wait_for(lambda: self._times(revision), timeout=seconds)
            return min(self._times(revision), default=None)

    def _times(self, revision: int) -> list[datetime]:
        return [time for number, time in self._first_judged.items() if number >= revision]

    def _run(self) -> None:
        # The end of the lab ends the stream.
        with suppress(RingfenceError):
            self._follow()
        self._listening.set()

    def _follow(self) -> None:
        with Client(self._socket) as client, client.events() as events:
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
        time = datetime.fromisoformat(flow["time"])
        with self._seen:
            earliest = self._first_judged.get(flow["revision"], time)
            self._first_judged[flow["revision"]] = min(earliest, time)
            self._seen.notify_all()
