from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ringfence.flow.decode import Events
from ringfence.history import archive, groups
from ringfence.history.archive import Archive
from ringfence.history.frames import Appender
from ringfence.history.names import StoredNames
from ringfence.history.overview import overview
from ringfence.history.rows import from_table
from ringfence.history.sealing import seal
from ringfence.history.segments import open_path
from tests.unit.flow.batch import Names, event
from tests.unit.history.stored import lengths, opened, recorder, sealed


def at(*times: int) -> Events:
    """Events at these times, told apart by them."""
    events = np.repeat(event(), len(times))
    events["time"] = events["length"] = times
    return events


def write(directory: Path, key: int, *frames: Events, seal_it: bool = False) -> None:
    appender = Appender(open_path(directory, key))
    for events in frames:
        appender.append(events, StoredNames.of(events, Names()))
    appender.close()
    if seal_it:
        seal(directory, key)


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sealed segments, one of them of two row groups, and an open one of two frames."""
    monkeypatch.setattr(groups, "GROUP_ROWS", 2)
    write(tmp_path, 1, at(10, 11), at(13, 12), seal_it=True)
    write(tmp_path, 2, at(20), seal_it=True)
    write(tmp_path, 3, at(30, 31), at(33, 32))
    assert (2, 1) == (len(sealed(tmp_path)), len(opened(tmp_path)))
    return tmp_path


def found(directory: Path, since: int | None, until: int | None, *, newest_first: bool = False) -> list[list[int]]:
    batches = Archive(directory).batches(since, until, newest_first=newest_first)
    return [events["length"].tolist() for events, _ in batches]


def test_batches_come_oldest_or_newest_first(mixed: Path) -> None:
    """Each batch is oldest first in itself, though it was not recorded so; the batches come in the order asked for."""
    batches = [[10, 11], [12, 13], [20], [30, 31], [32, 33]]
    assert batches == found(mixed, None, None)
    assert batches[::-1] == found(mixed, None, None, newest_first=True)


@pytest.mark.parametrize(
    ("since", "until", "batches"),
    [
        (11, 13, [[11], [12]]),
        (13, 31, [[13], [20], [30]]),
        (32, None, [[32, 33]]),
        (None, 11, [[10]]),
        (34, None, []),
        (20, 20, []),
        (21, 20, []),
        (-5, 10, []),
    ],
)
def test_only_the_times_asked_for(mixed: Path, since: int, until: int, batches: list[list[int]]) -> None:
    """From `since` on, before `until`; no batch is empty."""
    assert batches == found(mixed, since, until)
    assert batches[::-1] == found(mixed, since, until, newest_first=True)


def test_row_groups_of_other_times_are_not_read(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What names and statistics rule out is not decoded."""
    read: list[int] = []

    def counted(table: pa.Table) -> tuple[Events, StoredNames]:
        read.append(len(table))
        return from_table(table)

    monkeypatch.setattr(archive, "from_table", counted)
    assert [[12]] == found(mixed, 12, 13)
    assert [2] == read


def test_no_directory_is_no_flows(tmp_path: Path) -> None:
    """Where nothing was ever recorded nothing is found."""
    assert [] == found(tmp_path / "none", None, None)


@pytest.mark.parametrize("newest_first", [False, True])
def test_segment_sealed_while_others_are_read_is_read_once(mixed: Path, *, newest_first: bool) -> None:
    """An open segment that is sealed before its turn is read in its sealed form, one that is being read to its end."""
    batches = Archive(mixed).batches(None, None, newest_first=newest_first)
    first = next(batches)
    seal(mixed, 3)
    numbers = [10, 11, 12, 13, 20, 30, 31, 32, 33]
    assert numbers == sorted(lengths([first, *batches]))


def test_segment_deleted_while_others_are_read_is_passed_over(mixed: Path) -> None:
    """Retention may take a segment away before its turn, or in the middle of it."""
    batches = Archive(mixed).batches(None, None, newest_first=False)
    first = next(batches)
    for path in (*sealed(mixed), *opened(mixed)):
        path.unlink()
    assert [10, 11, 12, 13] == lengths([first, *batches])


def test_directory_deleted_while_it_is_read_ends_the_reading(mixed: Path) -> None:
    """That the whole history goes is no error either."""
    batches = Archive(mixed).batches(None, None, newest_first=False)
    first = next(batches)
    shutil.rmtree(mixed)
    assert [10, 11, 12, 13] == lengths([first, *batches])


@pytest.mark.parametrize("spoil", ["cut", "garbage", "empty"])
def test_spoilt_segment_is_passed_over(mixed: Path, spoil: str) -> None:
    """A file that the disk has lost part of does not keep the others from being read."""
    path = sealed(mixed)[1]
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "garbage": bytes(len(data)), "empty": b""}[spoil])
    assert [10, 11, 12, 13, 30, 31, 32, 33] == lengths(Archive(mixed).batches(None, None, newest_first=False))


def test_number_with_two_names_keeps_both(tmp_path: Path) -> None:
    """A number that was given out again has, in each row, the name of that row's time, sealed or not."""
    appender = Appender(open_path(tmp_path, 1))
    for time, name in ((1, "old"), (2, "new")):
        appender.append(at(time), StoredNames(labels={257: (f"k8s:app={name}",)}))
    appender.close()
    expected = [(1, ("k8s:app=old",)), (2, ("k8s:app=new",))]
    assert expected == _labels(tmp_path)
    seal(tmp_path, 1)
    assert expected == _labels(tmp_path)


def _labels(directory: Path) -> list[tuple[int, Sequence[str]]]:
    batches = Archive(directory).batches(None, None, newest_first=False)
    return [(int(events["time"][0]), names.labels_of(257)) for events, names in batches]


def test_what_was_offered_before_is_found(tmp_path: Path) -> None:
    """An archive that settles with its recorder finds every event offered until then, though the queue held it."""
    recording = recorder(tmp_path, Names(), flush_seconds=60.0)
    recording.offer(at(1, 2, 3))
    reading = Archive(tmp_path, lambda: recording.flush(60.0))
    assert [1, 2, 3] == lengths(reading.batches(None, None, newest_first=False))
    recording.close(60.0)


def test_overview_counts_both_forms(mixed: Path) -> None:
    """Segments, bytes and flows, and the first and last moment, of sealed and open segments together."""
    (mixed / "9.unreadable").write_bytes(b"x")
    seen = overview(mixed)
    size = sum(path.stat().st_size for path in mixed.iterdir())
    assert (4, size, 9, 10, 33, 1) == (
        seen.segments, seen.bytes, seen.rows, seen.oldest, seen.newest, seen.put_aside,
    )  # fmt: skip
