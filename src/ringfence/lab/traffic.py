"""Continuous traffic: attempts that are made again and again, and how many of them were answered, phase by phase.

An attempt belongs to the phase it was begun in. Between two phases nothing is counted: those begun before are waited
for, so that no attempt is judged by one policy and counted under another.
"""

from __future__ import annotations

import heapq
import selectors
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Condition, Event, Thread
from time import monotonic

from ringfence.lab.attempt import Attempt, Target
from ringfence.lab.namespaces import inside

# Shorter than the second after which the kernel repeats a SYN: an attempt is decided by its first packet.
PATIENCE = 0.5
LONGEST_NAP = 0.02


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of attempt, made every `interval` seconds. The names are those that the totals are told under."""

    source: str
    destination: str
    port: str
    target: Target
    interval: float = 0.1


@dataclass(frozen=True, slots=True)
class _Pending:
    stream: Stream
    phase: str | None
    attempt: Attempt
    end: float


class Sender:
    """Makes the attempts of some streams from one namespace, on a thread of its own."""

    def __init__(self, namespace: str, streams: Sequence[Stream]) -> None:
        self.sent: Counter[tuple[Stream, str]] = Counter()
        self.received: Counter[tuple[Stream, str]] = Counter()
        self._phase: str | None = None
        self._extra: Stream | None = None
        self._hurrying = False
        self._connection: Attempt | None = None
        self._counted = 0
        self._change = Condition()
        self._stop = Event()
        self._selector = selectors.DefaultSelector()
        self._due = [(monotonic(), number, stream) for number, stream in enumerate(streams)]
        heapq.heapify(self._due)
        self._thread = Thread(target=inside, args=(namespace, self._run), daemon=True)

    def start(self) -> None:
        """Begin to send; nothing is counted before a phase begins."""
        self._thread.start()

    def stop(self) -> None:
        """End and let go of all sockets."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def begin(self, phase: str) -> None:
        """Count what is begun from now on under a phase."""
        with self._change:
            self._phase = phase
            self._extra = None

    def settle(self) -> None:
        """End a phase: count nothing more, and wait until all that was begun in it is answered or given up."""
        with self._change:
            self._phase = None
            self._change.wait_for(lambda: self._counted == 0, timeout=4 * PATIENCE)

    def hurry(self, stream: Stream) -> None:
        """Send every millisecond, uncounted, until the next phase; returns once it does so.

        Questions are asked on one connection: established, it writes an event only when a new revision judges it again,
        so this costs nothing that would delay what it is there to observe. TCP connects anew each time.
        """
        with self._change:
            self._extra, self._hurrying = stream, False
            self._change.wait_for(lambda: self._hurrying, timeout=4 * PATIENCE)

    def _run(self) -> None:
        with self._selector:
            while not self._stop.is_set():
                self._begin_due()
                self._send_extra()
                for key, _ in self._selector.select(self._nap()):
                    self._finish(key.data, answered=key.data.attempt.answered())
                self._give_up(monotonic())
            self._give_up(float("inf"))
            self._extra = None
            self._send_extra()

    def _nap(self) -> float:
        if self._extra is not None:
            return 0.001
        return max(0.0, min(LONGEST_NAP, self._due[0][0] - monotonic()))

    def _begin_due(self) -> None:
        now = monotonic()
        while self._due[0][0] <= now:
            _, number, stream = self._due[0]
            self._begin_attempt(stream)
            heapq.heapreplace(self._due, (now + stream.interval, number, stream))

    def _send_extra(self) -> None:
        """The answers are left in the socket: nobody asks for them."""
        with self._change:
            if self._extra is None:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
            elif self._connection is None:
                self._connection = Attempt(self._extra.target)
            else:
                self._repeat(self._connection)
                self._hurrying = True
                self._change.notify_all()

    def _repeat(self, connection: Attempt) -> None:
        if connection.target.protocol != "TCP":
            connection.ask_again()
            return
        connection.close()
        self._connection = None

    def _begin_attempt(self, stream: Stream) -> None:
        with self._change:
            phase = self._phase
            try:
                attempt = Attempt(stream.target)
            except OSError:
                # No socket or no route just now: nothing was sent.
                return
            if phase is not None:
                self.sent[stream, phase] += 1
                self._counted += 1
        pending = _Pending(stream, phase, attempt, monotonic() + PATIENCE)
        self._selector.register(attempt.socket, attempt.interest, pending)

    def _give_up(self, now: float) -> None:
        late = [key.data for key in self._selector.get_map().values() if key.data.end <= now]
        for pending in late:
            self._finish(pending, answered=False)

    def _finish(self, pending: _Pending, *, answered: bool) -> None:
        self._selector.unregister(pending.attempt.socket)
        pending.attempt.close()
        if pending.phase is None:
            return
        with self._change:
            self._counted -= 1
            if answered:
                self.received[pending.stream, pending.phase] += 1
            self._change.notify_all()
