"""Events that wait to be written: given by the event loop, which never waits for the disk, taken by one thread."""

from __future__ import annotations

from collections import deque

from ringfence.flow.decode import Events, joined


class WaitingEvents:
    """A bounded queue of batches. It needs no lock: each counter has one writer, and a deque's ends are atomic."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: deque[Events] = deque()
        self.offered = 0  # written by the giver alone
        self.lost = 0  # likewise
        self.taken = 0  # written by the taker alone

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return self.offered - self.taken

    def offer(self, events: Events) -> None:
        """Take a batch in, or as much of its beginning as there is room for; the rest is lost."""
        room = min(self._limit - self.waiting, len(events))
        if room:
            self._batches.append(events[:room])
            self.offered += room
        self.lost += len(events) - room

    def take(self) -> Events:
        """All that waits, as one batch. They count as waiting until `done`."""
        return joined([self._batches.popleft() for _ in range(len(self._batches))])

    def done(self, count: int) -> None:
        """So many of those taken need no room any more."""
        self.taken += count
