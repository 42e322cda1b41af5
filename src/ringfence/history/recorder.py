"""The recorder: writes every event it is offered into segments, in a thread of its own.

Whoever offers never waits: not for the disk, not for a name. Where the disk refuses, recording stops and is tried
again; what is lost meanwhile is counted, and nothing else stops with it.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, Lock, Thread
from time import monotonic, time, time_ns
from typing import Final, Literal

from ringfence.abi import EVENT
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names
from ringfence.history.aside import seal_aside
from ringfence.history.frames import Appender
from ringfence.history.limits import Limits
from ringfence.history.names import StoredNames
from ringfence.history.ownership import Ownership
from ringfence.history.sealer import Seal, Sealer, Tell, told
from ringfence.history.segments import listing, open_path, to_prune
from ringfence.history.waiting import WaitingEvents

FRAME_ROWS: Final = 1 << 16
_PRUNE_SECONDS: Final = 60.0
_SPARE_PART: Final = 20


@dataclass(slots=True)
class _Open:
    """The segment that grows. `since` is of the monotonic clock."""

    key: int
    since: float
    appender: Appender


class Recorder:
    """Records from construction until `close`. `names` is asked from the recorder's thread."""

    def __init__(self, directory: Path, names: Names, limits: Limits, tell: Tell, seal: Seal = seal_aside) -> None:
        self.directory = directory
        self._names = names
        self._limits = limits
        self._tell = tell
        self._queue = WaitingEvents(limits.queue_events)
        self._wake, self._closing = Event(), Event()
        self._progress = Condition()
        self._unwritten = 0
        self._reason = ""
        self._again = 0.0
        self._pruned = 0.0
        self._pruning = Lock()
        self._own: Ownership | None = None
        self._open: _Open | None = None
        self._last_key = 0
        self._sealer = Sealer(directory, seal, self._prune, tell, limits.retry_seconds)
        self._thread = Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def offer(self, events: Events) -> None:
        """Record a batch. Returns at once; nobody may change the batch afterwards."""
        self._queue.offer(events)
        if self._queue.waiting >= FRAME_ROWS:
            self._wake.set()

    @property
    def lost(self) -> int:
        """Events that could not be recorded."""
        return self._queue.lost + self._unwritten

    @property
    def state(self) -> Literal["recording", "stopped"]:
        """Whether events reach the disk at the moment."""
        return "stopped" if self._reason else "recording"

    @property
    def reason(self) -> str:
        """Why recording has stopped, or what else is wrong with it; empty when all is well."""
        return self._reason or self._sealer.reason

    def flush(self, seconds: float) -> None:
        """Wait until all that was offered before is on the disk or lost, but no longer than so many seconds."""
        offered = self._queue.offered
        self._wake.set()
        with self._progress:
            self._progress.wait_for(lambda: self._queue.taken >= offered or not self._thread.is_alive(), seconds)

    def close(self, seconds: float) -> None:
        """Write what waits and seal it, in at most about so many seconds: what is not sealed by then stays open."""
        end = monotonic() + seconds
        self._closing.set()
        self._wake.set()
        self._thread.join(seconds)
        self._sealer.close(end)
        if self._own and not self._thread.is_alive():
            self._own.release()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._limits.flush_seconds)
            self._wake.clear()
            self._step()
        self._again = 0.0
        self._step()
        self._finish()

    def _step(self) -> None:
        events = self._queue.take()
        try:
            if monotonic() < self._again:
                self._unwritten += len(events)
            else:
                self._record(events)
        except Exception as error:  # noqa: BLE001 - whatever it is, recording stops and says so, and nothing else does
            self._stop(error)
        with self._progress:
            self._queue.done(len(events))
            self._progress.notify_all()

    def _record(self, events: Events) -> None:
        done = 0
        try:
            self._ready()
            while done < len(events):
                frame = events[done : done + FRAME_ROWS]
                self._segment().append(frame, StoredNames.of(frame, self._names))
                done += len(frame)
            if done:
                self._went_well()
            self._finish_if_due()
        finally:
            self._unwritten += len(events) - done

    def _ready(self) -> None:
        """The directory is ours, and not full. What an earlier agent left open is sealed."""
        if self._own is not None and not self._own.held:
            self._drop()
        if self._own is None:
            self._own = Ownership(self.directory)
            for key in self._own.unsealed():
                self._sealer.submit(key)
        space = os.statvfs(self.directory)
        spare = min(self._limits.spare_bytes, space.f_blocks * space.f_frsize // _SPARE_PART)
        if space.f_bavail * space.f_frsize < spare:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if monotonic() - self._pruned > _PRUNE_SECONDS:
            self._prune()

    def _segment(self) -> Appender:
        """The segment to write to, a new one where there is none or the last is full."""
        self._finish_if_due()
        if self._open is None:
            self._prune()
            self._last_key = max(time_ns(), self._last_key + 1)
            appender = Appender(open_path(self.directory, self._last_key))
            self._open = _Open(self._last_key, monotonic(), appender)
        return self._open.appender

    def _finish_if_due(self) -> None:
        if self._open is None:
            return
        full = self._open.appender.rows >= self._limits.rows(EVENT.itemsize)
        if full or monotonic() - self._open.since >= self._limits.segment_seconds:
            self._finish()

    def _finish(self) -> None:
        """Hand the open segment to the sealer; one without a row goes."""
        if self._open is None:
            return
        finished, self._open = self._open, None
        finished.appender.close()
        if finished.appender.rows:
            self._sealer.submit(finished.key)
        else:
            finished.appender.path.unlink(missing_ok=True)

    def _drop(self) -> None:
        """Somebody removed the directory: begin anew."""
        if self._own:
            self._own.release()
            self._own = None
        if self._open:
            self._open.appender.close()
            self._open = None

    def _prune(self) -> None:
        """Delete what is beyond the limits. Called from both threads."""
        with self._pruning:
            self._pruned = monotonic()
            growing = self._open.key if self._open else None
            limits = self._limits
            segments = listing(self.directory)
            for gone in to_prune(segments, time() - limits.max_age_seconds, limits.max_bytes, growing=growing):
                gone.path.unlink(missing_ok=True)

    def _went_well(self) -> None:
        if self._reason:
            self._tell("recording goes on")
        self._reason = ""

    def _stop(self, error: Exception) -> None:
        self._again = monotonic() + self._limits.retry_seconds
        reason = told(error)
        if reason != self._reason:
            self._tell(f"recording stopped: {reason}")
        self._reason = reason
        try:
            self._finish()
        except OSError:
            self._open = None
