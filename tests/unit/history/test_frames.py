from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.abi import EVENT
from ringfence.flow.decode import Events, joined
from ringfence.history.frames import Appender, FrameReader
from ringfence.history.names import StoredNames
from tests.unit.flow.batch import Names, event
from tests.unit.history.stored import batches, names, numbered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1.open"


def write(path: Path, *parts: Events) -> list[int]:
    """Write frames; the sizes of the file after each."""
    appender, sizes = Appender(path), []
    for part in parts:
        appender.append(part, StoredNames.of(part, Names()))
        sizes.append(appender.size)
    appender.close()
    return sizes


def read(path: Path) -> list[Events]:
    with FrameReader(path) as reader:
        return [frame.events for frame in reader.frames()]


@given(st.lists(st.tuples(batches(least=1, most=3), names()), max_size=4))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_frames_are_read_as_written(path: Path, parts: list[tuple[Events, StoredNames]]) -> None:
    """Every frame brings its rows and all names of its time back."""
    path.unlink(missing_ok=True)
    appender = Appender(path)
    for events, known in parts:
        appender.append(events, known)
    appender.close()
    with FrameReader(path) as reader:
        found = list(reader.frames())
    assert [(events.tobytes(), known) for events, known in parts] == [(f.events.tobytes(), f.names) for f in found]


def test_tail_torn_at_any_byte_costs_that_frame_alone(path: Path) -> None:
    """However much of the last frame reached the file, the frames before it are read, and nothing of it."""
    first, whole = write(path, numbered(3), numbered(2, 3))
    for size in range(whole - 1, first - 1, -1):
        os.truncate(path, size)
        assert [[0, 1, 2]] == [events["length"].tolist() for events in read(path)], size


def test_any_spoilt_byte_is_found_out(path: Path) -> None:
    """A frame of which one byte is not what was written, as after a power cut, is no frame."""
    first, whole = write(path, numbered(1), numbered(1, 1))
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at in range(first, whole):
            os.pwrite(file.fileno(), bytes([data[at] ^ 0x55]), at)
            assert 1 == len(read(path)), at
            os.pwrite(file.fileno(), data[at : at + 1], at)
    assert 2 == len(read(path))


def test_zeros_at_the_end_are_no_frame(path: Path) -> None:
    """What a filesystem leaves of a file that had been grown is not read as flows."""
    write(path, numbered(2))
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert [2] == [len(events) for events in read(path)]


def test_reader_sees_frames_that_come_while_it_reads(path: Path) -> None:
    """A segment is read while it grows; a frame that is half there is not seen."""
    appender = Appender(path)
    appender.append(numbered(1), StoredNames())
    with FrameReader(path) as reader:
        assert 1 == len(list(reader.outlines()))
        appender.append(numbered(1), StoredNames())
        assert 2 == len(list(reader.outlines()))
    appender.close()


def test_failed_frame_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes half a frame and then no more: the next frame follows the last whole one."""
    appender = Appender(path)
    appender.append(numbered(1), StoredNames())
    real = os.writev
    sizes = iter([7])

    def refusing(fd: int, data: list[memoryview]) -> int:
        return real(fd, [data[0][:size]]) if (size := next(sizes, 0)) else _no_space()

    monkeypatch.setattr(os, "writev", refusing)
    with pytest.raises(OSError, match="No space left on device"):
        appender.append(numbered(1, 1), StoredNames())
    monkeypatch.setattr(os, "writev", real)
    appender.append(numbered(1, 2), StoredNames())
    appender.close()
    assert [0, 2] == [int(events["length"][0]) for events in read(path)]
    assert appender.size == path.stat().st_size


def _no_space() -> int:
    raise OSError(28, "No space left on device")


def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes less than it was given loses nothing."""
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, data: real(fd, [data[0][:100]]))
    write(path, numbered(5))
    assert [0, 1, 2, 3, 4] == read(path)[0]["length"].tolist()


def test_rows_of_another_layout_are_read_by_their_fields(path: Path) -> None:
    """A version with other fields reads those that both have; the rest is zero."""
    older = np.dtype([("length", "<u4"), ("time", "<u8"), ("gone", "<u8"), ("source_identity", "<u4")])
    events = np.zeros(2, older)
    events["length"], events["time"] = [7, 8], [1, 2]
    appender = Appender(path)
    appender.append(events, StoredNames())
    appender.close()
    [found] = read(path)
    assert EVENT == found.dtype
    assert ([7, 8], [1, 2], [0, 0]) == tuple(found[name].tolist() for name in ("length", "time", "ifindex"))


def test_outlines_tell_times_without_reading_rows(path: Path) -> None:
    """Where a frame stands, how many rows it has, and the first and last time in it, whatever their order."""
    unordered = joined([event(time=9), event(time=3), event(time=5)])
    write(path, unordered)
    with FrameReader(path) as reader:
        [outline] = reader.outlines()
    assert (0, 3, 3, 9) == (outline.offset, outline.rows, outline.first, outline.last)
