"""An overview: how much a history holds, and of when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ringfence.history.frames import FrameReader
from ringfence.history.segments import Segment, listing


@dataclass(frozen=True, slots=True)
class Overview:
    """Sizes in bytes; times in ns since the epoch, None where there is no flow. `put_aside` files cannot be read."""

    segments: int
    bytes: int
    rows: int
    oldest: int | None
    newest: int | None
    put_aside: int


def overview(directory: Path) -> Overview:
    """What there is now. Raises `OSError` as reading the directory does."""
    segments = listing(directory)
    spans = [span for segment in segments for span in _spans(segment)]
    return Overview(
        segments=len(segments),
        bytes=sum(segment.size for segment in segments),
        rows=sum(rows for _, _, rows in spans),
        oldest=min((first for first, _, _ in spans), default=None),
        newest=max((last for _, last, _ in spans), default=None),
        put_aside=sum(not segment.readable for segment in segments),
    )


def _spans(segment: Segment) -> Iterator[tuple[int, int, int]]:
    """First time, last time and rows of the parts of a segment."""
    if segment.rows is not None and segment.first is not None and segment.last is not None:
        yield segment.first, segment.last, segment.rows
    elif segment.is_open:
        try:
            with FrameReader(segment.path) as reader:
                yield from ((each.first, each.last, each.rows) for each in reader.outlines())
        except FileNotFoundError:  # sealed or deleted in between
            return
