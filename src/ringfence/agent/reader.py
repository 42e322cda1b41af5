"""The reader: takes events out of the rings and hands them on, to the hub, those of staged judgements to a hub of their
own. It is woken by the kernel once a batch has gathered, and by a timer that bounds the delay of the rest.
"""

from __future__ import annotations

import asyncio
import time

from ringfence.abi import EventKind
from ringfence.agent.hub import Hub
from ringfence.datapath.rings import EventRings
from ringfence.flow.decode import Events

_TIMER_SECONDS = 0.01
_BATCH_EVENTS = 16384
_CLOCK_EVERY = 1000  # timer ticks between two looks at the wall clock, which may be set meanwhile


class Reader:
    """The one reader of the ring, in the running loop from construction until `close`."""

    def __init__(self, ring: EventRings, hub: Hub, staged: Hub) -> None:
        self._ring = ring
        self._hub = hub
        self._staged = staged
        self._loop = asyncio.get_running_loop()
        for fd in ring.filenos:
            self._loop.add_reader(fd, self._read)
        self._ticks = 0
        self._clock_offset_ns = 0
        self._tick()

    def close(self) -> None:
        """Read what is left and stop."""
        self._timer.cancel()
        for fd in self._ring.filenos:
            self._loop.remove_reader(fd)
        self._read()

    def _tick(self) -> None:
        if self._ticks % _CLOCK_EVERY == 0:
            self._clock_offset_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._ticks += 1
        self._read()
        self._timer = self._loop.call_later(_TIMER_SECONDS, self._tick)

    def _read(self) -> None:
        """At most a ring's worth in one go, so that a flood does not keep the loop from everything else."""
        events = self._ring.read(_BATCH_EVENTS)
        if len(events):
            # From here on times are those of the wall clock, which people and files speak of.
            events["time"] += self._clock_offset_ns
            self._publish(events)

    def _publish(self, events: Events) -> None:
        """What would be is kept apart from what was."""
        would_be = events["kind"] == EventKind.STAGED
        if would_be.any():
            self._staged.publish(events[would_be])
            events = events[~would_be]
        if len(events):
            self._hub.publish(events)
