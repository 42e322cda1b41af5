"""Segments: the files of a history, and what their names say. Nothing has to be opened to know what there is.

A segment is known by a key, the time it was opened in ns, which no other of its directory has:

    KEY.open                          grows, or was left by a killed agent: frames
    KEY-FIRST-LAST-ROWS.parquet       sealed; times of its first and last flow in ns
    KEY-PROCESS.sealing               half of a parquet file; worth nothing without its process
    KEY.unreadable                    an open segment that no seal could be made of

Where a kill left both forms of a segment, the sealed one counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OPEN, SEALED, SEALING, UNREADABLE = ".open", ".parquet", ".sealing", ".unreadable"
_NAME: Final = re.compile(r"(\d{1,20})(?:-(\d+)-(\d+)-(\d+)\.parquet|\.open|\.unreadable)\Z")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One segment; `size` in bytes. `first`, `last` (ns, both included) and `rows` are known of sealed ones."""

    key: int
    path: Path
    size: int
    changed: float
    first: int | None = None
    last: int | None = None
    rows: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it grows, or waits to be sealed."""
        return self.path.suffix == OPEN

    @property
    def readable(self) -> bool:
        """Whether anything can be read of it."""
        return self.path.suffix != UNREADABLE

    @property
    def newest(self) -> float:
        """When its last flow was, in seconds; of an open one when it was last written to."""
        return self.changed if self.last is None else self.last / 1e9


def open_path(directory: Path, key: int) -> Path:
    """Where a segment is while it is open."""
    return directory / f"{key}{OPEN}"


def sealed_path(directory: Path, key: int, first: int, last: int, rows: int) -> Path:
    """Where a segment is once it is sealed."""
    return directory / f"{key}-{first}-{last}-{rows}{SEALED}"


def put_aside(directory: Path, key: int) -> None:
    """Let an open segment be, which nothing can be made of; retention deletes it in time."""
    opened = open_path(directory, key)
    if opened.exists():
        opened.rename(opened.with_suffix(UNREADABLE))


def listing(directory: Path) -> list[Segment]:
    """The segments of a directory, oldest first. Raises `OSError` as reading the directory does."""
    with os.scandir(directory) as entries:
        found = [segment for entry in entries if (segment := _segment(entry))]
    sealed = {segment.key for segment in found if not segment.is_open}
    return sorted(segment for segment in found if not (segment.is_open and segment.key in sealed))


def superfluous(directory: Path) -> list[Path]:
    """What a kill has left that says nothing: halves of seals, and open forms of what is sealed."""
    counted = {segment.path for segment in listing(directory)}
    return [
        path
        for path in directory.iterdir()
        if path.suffix == SEALING or (path.suffix == OPEN and _NAME.match(path.name) and path not in counted)
    ]


def to_prune(segments: Iterable[Segment], oldest: float, most_bytes: int, *, growing: int | None) -> list[Segment]:
    """The segments that are beyond an age or a size together: those whose last flow was before `oldest` (seconds), and
    of the rest the oldest until all are within `most_bytes`. The one that is growing stays.
    """
    kept = [segment for segment in segments if segment.key != growing]
    gone = [segment for segment in kept if segment.newest < oldest]
    excess = sum(segment.size for segment in segments) - sum(segment.size for segment in gone) - most_bytes
    for segment in kept:
        if excess <= 0:
            break
        if segment not in gone:
            gone.append(segment)
            excess -= segment.size
    return gone


def _segment(entry: os.DirEntry[str]) -> Segment | None:
    named = _NAME.match(entry.name)
    if named is None:
        return None
    try:
        state = entry.stat()
    except FileNotFoundError:  # retention was here in between
        return None
    key, *told = named.groups()
    numbers = [int(number) if number else None for number in told]
    return Segment(int(key), Path(entry.path), state.st_size, state.st_mtime, *numbers)
