"""The commit log: every commit with who, when and why, in files of bounded size.

A file, a segment, begins with the state as it was and goes on with a line for each commit; so each says everything
without the ones before it, and the oldest goes when all together are too large. A line is one write; one cut short by a
kill is dropped, and what it was about is found again, for the journal had it first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from ringfence.agent.commits.record import Record, State, read_line
from ringfence.errors import NotFound, RingfenceError

DEFAULT_BYTES: Final = 64 << 20
#: A segment is a share of what is kept: with the oldest one, so much of the past goes at once.
_SEGMENTS: Final = 8
_MICROSECOND: Final = 1e-6
_NAME: Final = "commits-{:08d}.jsonl"


class Moment(NamedTuple):
    """A commit, and the state that it led to and from."""

    record: Record
    before: State
    after: State


class CommitLog:
    """The log in a directory. One process writes; `records` and `moment` may be called from any thread.

    A log that cannot be written does not hold up enforcement: `problem` says so until it can be again.
    """

    def __init__(self, directory: Path, max_bytes: int = DEFAULT_BYTES) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._fd = -1
        self._begun = self._size = 0
        self._number = 0
        self._gap = False
        self.problem = ""
        self.state = State()
        #: The newest that is recorded.
        self.revision = 0
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open()
        except OSError as error:
            self._failed(error)

    def note(self, record: Record) -> None:
        """Write a commit down, unless it changes nothing and nobody answers for it."""
        record = replace(record, items=self.state.differing(record.items))
        if not record.items and not record.notes:
            return
        try:
            if self._fd < 0 or self._gap or self._size - self._begun > max(self._share, self._begun):
                self._begin_segment(record)
            else:
                self._append(record.line().encode())
            self.problem = ""
        except OSError as error:
            self._failed(error)
        finally:
            self.state.take(record.items)
            self.revision = record.revision

    def walk(self) -> Iterator[tuple[Record, State]]:
        """All commits that are kept, the oldest first, each with the state before it, which is good until the next."""
        state = State()
        for path in self._segments():
            for line in _lines(path):
                if isinstance(line, State):
                    state = line
                else:
                    yield line, state
                    state.take(line.items)

    def moment(self, wanted: Callable[[Record], bool], what: str) -> Moment:
        """The last commit that is wanted. Raises `NotFound` that says `what` was looked for."""
        for path in reversed(self._segments()):
            found = _last(path, wanted)
            if found:
                return found
        raise NotFound(f"the commit log has no {what}; `ringfence policy history --all` shows what it has")

    def state_at(self, revision: int) -> State:
        """The state that a revision was of. Raises `NotFound` for one that is not kept."""
        if revision < 0 or revision > self.revision:
            raise NotFound(f"there was no revision {revision} yet; the newest in the commit log is {self.revision}")
        return self._after(lambda record: record.revision <= revision, f"revision {revision}")

    def state_when(self, seconds: float) -> State:
        """The state at a time, in seconds since the epoch. Raises `NotFound` for one that is not kept."""
        until = seconds + _MICROSECOND  # times are told to the microsecond: a commit's own time is to find it
        return self._after(lambda record: record.time < until, "commit of that time or before")

    def _after(self, wanted: Callable[[Record], bool], what: str) -> State:
        try:
            return self.moment(wanted, what).after
        except NotFound:
            if self._segments()[:1] in ([], [self._directory / _NAME.format(1)]):
                return State()  # before the first commit of all
            raise

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def _share(self) -> int:
        return self._max_bytes // _SEGMENTS

    def _segments(self) -> list[Path]:
        return sorted(self._directory.glob("commits-*.jsonl"))

    def _open(self) -> None:
        segments = self._segments()
        if not segments:
            return
        newest = segments[-1]
        self._number = int(newest.stem.partition("-")[2])
        whole = 0
        with newest.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    self._replay(newest, line.decode())
                    self._begun = self._begun or len(line)
                    whole += len(line)
        self._fd = os.open(newest, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(self._fd, whole)
        self._size = whole

    def _replay(self, path: Path, text: str) -> None:
        try:
            read = read_line(text)
        except (ValueError, KeyError, TypeError) as error:
            raise RingfenceError(f"the commit log {path} cannot be read: {error}; move it away to go on") from error
        if isinstance(read, State):
            self.state = read
        else:
            self.state.take(read.items)
            self.revision = read.revision

    def _begin_segment(self, record: Record) -> None:
        """A new segment: the state before, and the commit. So what a gap has swallowed is in the state at least."""
        begun, line = self.state.line().encode(), record.line().encode()
        path = self._directory / _NAME.format(self._number + 1)
        fresh = path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(fd, begun + line)
            fresh.replace(path)
        except OSError:
            os.close(fd)
            fresh.unlink(missing_ok=True)
            raise
        self.close()
        self._fd, self._number, self._gap = fd, self._number + 1, False
        self._begun, self._size = len(begun), len(begun) + len(line)
        self._drop_oldest()

    def _append(self, data: bytes) -> None:
        """All of the bytes, or the file as it was: a part left behind would swallow the next line."""
        try:
            _write(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def _drop_oldest(self) -> None:
        segments = self._segments()
        sizes = {path: path.stat().st_size for path in segments}
        # The newest two stay: whatever the limit, what the last commit changed can be taken back.
        for path in segments[:-2]:
            if sum(sizes.values()) <= self._max_bytes:
                return
            path.unlink()
            del sizes[path]

    def _failed(self, error: OSError) -> None:
        self._gap = True
        self.problem = f"commits are not recorded in {self._directory}: {error.strerror or error}"


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _lines(path: Path) -> Iterator[State | Record]:
    """The complete lines of a segment. One that was dropped meanwhile has none."""
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield read_line(line)
    except FileNotFoundError:
        return


def _last(path: Path, wanted: Callable[[Record], bool]) -> Moment | None:
    """The last commit of a segment that is wanted."""
    last = max((at for at, line in enumerate(_lines(path)) if isinstance(line, Record) and wanted(line)), default=None)
    if last is None:
        return None
    state = State()
    for at, line in enumerate(_lines(path)):
        if isinstance(line, State):
            state = line
            continue
        if at == last:
            before = state.copy()
            state.take(line.items)
            return Moment(line, before, state)
        state.take(line.items)
    return None
