from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ringfence.history import sealing
from ringfence.history.archive import Archive
from ringfence.history.frames import Appender
from ringfence.history.names import StoredNames
from ringfence.history.recorder import Recorder
from ringfence.history.segments import open_path
from tests.unit.flow.batch import Names
from tests.unit.history.stored import Gate, Told, lengths, numbered, opened, recorder, sealed, told, wait_until

ENDLESS = 60.0


@contextmanager
def recording(directory: Path, **limits: Any) -> Iterator[Recorder]:
    found = recorder(directory, Names(), **limits)
    try:
        yield found
    finally:
        found.close(ENDLESS)


def everything(directory: Path) -> list[int]:
    return lengths(Archive(directory).batches(None, None, newest_first=False))


def test_what_is_offered_is_found_again(tmp_path: Path) -> None:
    """Events are in the open segment after a flush, with the names of their time, and sealed after the end."""
    events = numbered(10)
    with recording(tmp_path) as found:
        found.offer(events)
        found.flush(ENDLESS)
        [(stored, known)] = Archive(tmp_path).batches(None, None, newest_first=False)
        assert told(events, Names()) == told(stored, known)
        assert (1, 0) == (len(opened(tmp_path)), len(sealed(tmp_path)))
    assert (0, 1) == (len(opened(tmp_path)), len(sealed(tmp_path)))
    [(stored, known)] = Archive(tmp_path).batches(None, None, newest_first=False)
    assert events.tobytes() == stored.tobytes()
    assert told(events, Names()) == told(stored, known)


def test_what_nobody_flushes_is_written_by_itself(tmp_path: Path) -> None:
    """A few events do not wait for more: a kill would cost no more than the last moment."""
    with recording(tmp_path) as found:
        found.offer(numbered(1))
        wait_until(lambda: everything(tmp_path) == [0])


def test_full_segment_is_sealed_and_the_next_begun(tmp_path: Path) -> None:
    """After so many rows a segment is sealed while recording goes on in another."""
    with recording(tmp_path, segment_rows=5) as found:
        for start in range(0, 20, 4):
            found.offer(numbered(4, start))
            found.flush(ENDLESS)
        wait_until(lambda: len(sealed(tmp_path)) == 2)
        assert list(range(20)) == everything(tmp_path)


def test_segment_is_sealed_after_its_time_though_nothing_comes(tmp_path: Path) -> None:
    """A quiet host's flows become a finished segment too."""
    with recording(tmp_path, segment_seconds=0.05) as found:
        found.offer(numbered(3))
        wait_until(lambda: sealed(tmp_path) and not opened(tmp_path))
        assert [0, 1, 2] == everything(tmp_path)


def test_only_the_owner_reads(tmp_path: Path) -> None:
    """Who talked to whom is nobody else's business: directory and files are their owner's alone."""
    directory = tmp_path / "a" / "flows"
    with recording(directory, segment_rows=1) as found:
        found.offer(numbered(1))
        found.flush(ENDLESS)
        wait_until(lambda: sealed(directory))
        found.offer(numbered(1))
        found.flush(ENDLESS)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert ({0o600}, 0o700) == (modes, stat.S_IMODE(directory.stat().st_mode))


def test_events_beyond_the_queue_are_lost_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offering never waits: while the disk holds the writer up, what the queue cannot take is counted as lost."""
    with recording(tmp_path, queue_events=10) as found:
        with monkeypatch.context() as patch, Gate(patch, Appender, "append") as gate:
            found.offer(numbered(4))
            gate.reached()
            found.offer(numbered(10, 4))
            assert 4 == found.lost
        found.flush(ENDLESS)
        assert list(range(10)) == everything(tmp_path)
        assert ("recording", 4) == (found.state, found.lost)


def test_full_disk_stops_recording_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write error stops recording with its reason; losses are counted, it is tried again, and goes on by itself."""
    said = Told()
    found = recorder(tmp_path, Names(), said)
    with closing_at_the_end(found):
        found.offer(numbered(2))
        found.flush(ENDLESS)
        with monkeypatch.context() as patch:
            patch.setattr(os, "writev", _no_space)
            found.offer(numbered(3, 2))
            found.flush(ENDLESS)
            assert ("stopped", "No space left on device", 3) == (found.state, found.reason, found.lost)
        lost = found.lost
        wait_until(lambda: _offered(found) and found.state == "recording")
        assert [0, 1] == [number for number in everything(tmp_path) if number < 100]
        assert 100 in everything(tmp_path)
        assert ["recording stopped: No space left on device", "recording goes on"] == said.said
        assert lost <= found.lost


def _offered(found: Recorder) -> bool:
    found.offer(numbered(1, 100))
    found.flush(ENDLESS)
    return True


def _no_space(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_directory_that_cannot_be_made_stops_recording(tmp_path: Path) -> None:
    """A file in the directory's place is a reason, not a crash; once it is gone, recording begins."""
    place = tmp_path / "flows"
    place.write_text("in the way")
    with recording(place) as found:
        found.offer(numbered(1))
        found.flush(ENDLESS)
        assert ("stopped", "File exists", 1) == (found.state, found.reason, found.lost)
        place.unlink()
        wait_until(lambda: _offered(found) and found.state == "recording")
        assert everything(place)


def test_directory_that_is_removed_is_made_again(tmp_path: Path) -> None:
    """Whoever removes the history while the agent runs loses it, and the agent begins a new one."""
    place = tmp_path / "flows"
    with recording(place) as found:
        found.offer(numbered(2))
        found.flush(ENDLESS)
        shutil.rmtree(place)
        found.offer(numbered(2, 2))
        found.flush(ENDLESS)
        assert [2, 3] == everything(place)


def test_one_directory_has_one_writer(tmp_path: Path) -> None:
    """A second agent that is to record in the same place is told so, and the first goes on."""
    with recording(tmp_path) as first:
        first.offer(numbered(1))
        first.flush(ENDLESS)
        with recording(tmp_path) as second:
            second.offer(numbered(1, 1))
            second.flush(ENDLESS)
            assert ("stopped", f"another agent records in {tmp_path}") == (second.state, second.reason)
        first.offer(numbered(1, 2))
        first.flush(ENDLESS)
        assert [0, 2] == everything(tmp_path)


def test_what_a_killed_agent_left_is_sealed_or_cleared(tmp_path: Path) -> None:
    """An open segment with a torn tail is sealed up to the tear; half a seal and an empty segment go."""
    appender = Appender(open_path(tmp_path, 5))
    for start in (0, 3):
        events = numbered(3, start)
        appender.append(events, StoredNames.of(events, Names()))
    appender.close()
    os.truncate(appender.path, appender.size - 1)
    (tmp_path / "5.sealing").write_bytes(b"PAR1 half")
    (tmp_path / "6.open").touch()
    with recording(tmp_path):
        wait_until(lambda: not opened(tmp_path))
        assert [0, 1, 2] == everything(tmp_path)
        assert {"lock", sealed(tmp_path)[0].name} == {path.name for path in tmp_path.iterdir()}


def test_retention_keeps_the_newest(tmp_path: Path) -> None:
    """Beyond the size limit the oldest segments go while recording goes on; what is kept is the newest."""
    with recording(tmp_path, segment_rows=1000, max_bytes=1 << 18) as found:
        for start in range(0, 40_000, 500):
            found.offer(numbered(500, start))
            found.flush(ENDLESS)
    kept = everything(tmp_path)
    assert list(range(kept[0], 40_000)) == kept
    assert 0 < kept[0]
    assert (1 << 18) + (1 << 16) >= sum(path.stat().st_size for path in tmp_path.iterdir())


def test_old_flows_go(tmp_path: Path) -> None:
    """What ended before the age limit is deleted when the next segment begins."""
    with recording(tmp_path, max_age_seconds=3600) as found:
        found.offer(numbered(2, age_ns=2 * 3600 * 10**9))
        found.flush(ENDLESS)
    with recording(tmp_path, max_age_seconds=3600) as found:
        found.offer(numbered(2, 2))
        found.flush(ENDLESS)
    assert [2, 3] == everything(tmp_path)


def test_seal_that_fails_leaves_the_open_form_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the sealed form: the flows stay readable in their open form, the state says why, later it works."""
    with recording(tmp_path, segment_rows=2) as found:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: _no_space())
            found.offer(numbered(2))
            found.flush(ENDLESS)
            wait_until(lambda: found.reason)
            assert ("recording", "a segment cannot be sealed: No space left on device") == (found.state, found.reason)
            assert ([0, 1], []) == (everything(tmp_path), list(tmp_path.glob("*.sealing")))
        wait_until(lambda: sealed(tmp_path))
        wait_until(lambda: not found.reason)
        assert [0, 1] == everything(tmp_path)


def test_segment_that_nothing_can_be_made_of_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One segment that cannot be converted neither ends recording nor is tried for ever."""
    said = Told()
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "to_table", lambda *_: 1 / 0)
        found = recorder(tmp_path, Names(), said, segment_rows=2)
        with closing_at_the_end(found):
            found.offer(numbered(2))
            found.flush(ENDLESS)
            wait_until(lambda: list(tmp_path.glob("*.unreadable")))
            found.offer(numbered(1, 2))
            found.flush(ENDLESS)
            assert [2] == everything(tmp_path)
            wait_until(lambda: said.said)
            assert "was put aside: ZeroDivisionError" in said.said[0]


def test_names_that_cannot_be_had_do_not_end_recording(tmp_path: Path) -> None:
    """Whatever goes wrong while a batch is written is told as the reason, and the next batch is tried."""
    names = Faulty()
    found = recorder(tmp_path, names)
    with closing_at_the_end(found):
        names.broken = True
        found.offer(numbered(1))
        found.flush(ENDLESS)
        assert ("stopped", "RuntimeError: no names today") == (found.state, found.reason)
        names.broken = False
        wait_until(lambda: _offered(found) and found.state == "recording")


class Faulty(Names):
    """Names that are there or not."""

    broken = False

    def labels_of(self, identity: int) -> tuple[str, ...]:
        if self.broken:
            raise RuntimeError("no names today")
        return super().labels_of(identity)


def test_end_is_bounded_though_sealing_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that is to stop does not wait for a slow disk: what is not sealed stays open, and is found there."""
    found = recorder(tmp_path, Names())
    with monkeypatch.context() as patch, Gate(patch, sealing, "to_table"):
        found.offer(numbered(2))
        found.close(0.05)
        assert (1, []) == (len(opened(tmp_path)), sealed(tmp_path))
        assert [0, 1] == everything(tmp_path)


@contextmanager
def closing_at_the_end(found: Recorder) -> Iterator[None]:
    try:
        yield
    finally:
        found.close(ENDLESS)
