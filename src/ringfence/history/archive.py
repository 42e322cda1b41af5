"""The archive: past flows read back from segments, as the same events with the names of their time.

Nothing is locked: a segment that is sealed while it is read is read to its end as it was, one that was sealed before
its turn is read in its other form, and one that retention has deleted is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ringfence.errors import RingfenceError
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names
from ringfence.history.frames import FrameReader
from ringfence.history.groups import in_order
from ringfence.history.rows import READ, from_table
from ringfence.history.segments import Segment, listing

Batch = tuple[Events, Names]


class Archive:
    """The flows in a directory. `settle` is called before each reading: what was offered until then is to be found."""

    def __init__(self, directory: Path, settle: Callable[[], None] = lambda: None) -> None:
        self._directory = directory
        self._settle = settle

    def batches(self, since_ns: int | None, until_ns: int | None, *, newest_first: bool) -> Iterator[Batch]:
        """Batches of the flows with `since_ns <= time < until_ns`, each oldest first in itself, none empty. The batches
        come oldest first, or newest first. Without a directory there are none.
        """
        self._settle()
        span = _Span(since_ns, until_ns, newest_first=newest_first)
        for segment in span.ordered(self._segments()):
            if segment.readable and span.touches(segment.first, segment.last):
                yield from self._read(segment, span)

    def _segments(self) -> list[Segment]:
        try:
            return listing(self._directory)
        except FileNotFoundError:
            return []

    def _read(self, segment: Segment, span: _Span) -> Iterator[Batch]:
        try:
            yield from _sealed(segment.path, span) if not segment.is_open else _opened(segment.path, span)
        except FileNotFoundError:
            now = next((each for each in self._segments() if each.key == segment.key), None)
            if now is not None and now.rows is not None and span.touches(now.first, now.last):
                yield from _sealed(now.path, span)


class _Span:
    """Which times are asked for, and in which order."""

    def __init__(self, since: int | None, until: int | None, *, newest_first: bool) -> None:
        self._since = 0 if since is None else max(0, since)
        self._until = (1 << 63) - 1 if until is None else until
        self._newest_first = newest_first

    def touches(self, first: int | None, last: int | None) -> bool:
        """Whether flows of these times, both included and None where not known, may be among those asked for."""
        return (last is None or last >= self._since) and (first is None or first < self._until)

    def ordered(self, found: list[Any]) -> list[Any]:
        """What was found oldest first, in the order asked for."""
        return found[::-1] if self._newest_first else found

    def cut(self, events: Events) -> Events:
        """The events asked for, of events in order."""
        bounds = np.array([self._since, max(self._since, self._until)], np.uint64)
        first, last = events["time"].searchsorted(bounds)
        return events[first:last]


def _opened(path: Path, span: _Span) -> Iterator[Batch]:
    with FrameReader(path) as reader:
        for outline in span.ordered(list(reader.outlines())):
            if not span.touches(outline.first, outline.last):
                continue
            frame = reader.read(outline)
            if frame is not None and len(events := span.cut(in_order(frame.events))):
                yield events, frame.names


def _sealed(path: Path, span: _Span) -> Iterator[Batch]:
    with path.open("rb") as file:
        try:
            stored = pq.ParquetFile(file)
            for group in span.ordered(list(range(stored.num_row_groups))):
                times = stored.metadata.row_group(group).column(0).statistics
                if not span.touches(times.min_raw, times.max_raw):
                    continue
                events, names = from_table(stored.read_row_group(group, columns=READ, use_threads=False))
                if len(events := span.cut(events)):
                    yield events, names
        except (pa.ArrowException, RingfenceError):
            return  # spoilt, or of another version: `overview` counts it
