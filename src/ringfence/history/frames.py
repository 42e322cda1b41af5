"""Frames: a segment that is open. A file that only grows, by one frame a batch, each whole in itself.

A frame is a head (magic, sizes, checksum), a JSON header (names of the numbers, layout of the rows, first and last
time) and the rows as the kernel wrote them. A frame cut short by a kill, or spoilt by a power cut, fails its checksum:
what comes before it counts, it and what comes after it does not.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import numpy as np

from ringfence.abi import EVENT
from ringfence.flow.decode import Events
from ringfence.history.names import StoredNames

MAGIC: Final = b"rff1"
_HEAD: Final = struct.Struct("<4sIIQQQI")  # magic, bytes of header and of rows, number of rows, first, last, checksum


@dataclass(frozen=True, slots=True)
class Outline:
    """Where a frame stands in its file, and of when it tells: times in ns since the epoch, both included."""

    offset: int
    size: int
    rows: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The rows of a frame and what their numbers stood for."""

    events: Events
    names: StoredNames


class Appender:
    """An open segment that is being written. Every method raises `OSError` as the file does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.size = 0
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, events: Events, names: StoredNames) -> None:
        """Write one frame. If that fails, nothing of it is left in the file."""
        try:
            data = _encoded(events, names)
            self._write(data)
        except BaseException:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += sum(map(len, data))
        self.rows += len(events)

    @property
    def there(self) -> bool:
        """Whether the file still has its name: somebody may have removed it."""
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, data: Sequence[bytes | memoryview]) -> None:
        left = [memoryview(each).cast("B") for each in data]
        while left:
            written = os.writev(self._fd, left)
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if left:
                left[0] = left[0][written:]


def _encoded(events: Events, names: StoredNames) -> tuple[bytes, bytes, memoryview]:
    rows = np.ascontiguousarray(events).view(np.uint8).data
    header = json.dumps({"layout": _layout(events.dtype), "names": names.to_document()}, separators=(",", ":")).encode()
    times = events["time"]
    sizes = len(header), len(rows), len(events), int(times.min()), int(times.max())
    return _HEAD.pack(MAGIC, *sizes, _checksum(sizes, header, rows)), header, rows


@cache
def _layout(kind: np.dtype[Any]) -> list[list[Any]]:
    return [[name, kind[name].base.str, list(kind[name].shape)] for name in kind.names or ()]


def _checksum(sizes: Sequence[int], header: bytes, rows: bytes | memoryview) -> int:
    return zlib.crc32(rows, zlib.crc32(header, zlib.crc32(repr(tuple(sizes)).encode())))


class FrameReader:
    """An open segment that is being read; it may grow meanwhile, and may lose its name."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def outlines(self) -> Iterator[Outline]:
        """The frames that seem whole, in order, without looking into them."""
        offset, end = 0, os.fstat(self._file.fileno()).st_size
        while (head := self._head(offset)) is not None:
            header, data, rows, first, last, _ = head
            size = _HEAD.size + header + data
            if offset + size > end:
                return
            yield Outline(offset, size, rows, first, last)
            offset += size

    def read(self, at: Outline) -> Frame | None:
        """One frame; None if it is spoilt."""
        head = self._head(at.offset)
        body = memoryview(self._file.read(at.size - _HEAD.size))
        if head is None or len(body) != at.size - _HEAD.size:
            return None
        *sizes, checksum = head
        header, data = bytes(body[: sizes[0]]), body[sizes[0] :]
        if _checksum(sizes, header, data) != checksum:
            return None
        document = json.loads(header)
        return Frame(_events(data, document["layout"]), StoredNames.from_document(document["names"]))

    def frames(self) -> Iterator[Frame]:
        """All frames in order, up to the first that is spoilt."""
        for outline in self.outlines():
            frame = self.read(outline)
            if frame is None:
                return
            yield frame

    def _head(self, offset: int) -> tuple[int, ...] | None:
        self._file.seek(offset)
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size or not head.startswith(MAGIC):
            return None
        return tuple(_HEAD.unpack(head)[1:])


def _events(data: memoryview, layout: Sequence[Sequence[Any]]) -> Events:
    """The rows; those that another version wrote, by the names of their fields."""
    written = np.dtype([(name, kind, tuple(shape)) for name, kind, shape in layout])
    rows = np.frombuffer(data, written)
    if written == EVENT:
        return rows
    events = np.zeros(len(rows), EVENT)
    for name in set(written.names or ()) & set(EVENT.names or ()):
        events[name] = rows[name]
    return events
