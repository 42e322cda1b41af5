from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from ringfence.errors import RingfenceError
from ringfence.history import aside
from ringfence.history.aside import Died, Interrupted, seal_aside
from ringfence.history.frames import Appender
from ringfence.history.limits import Limits
from ringfence.history.names import StoredNames
from ringfence.history.recorder import Recorder
from ringfence.history.segments import open_path
from tests.unit.flow.batch import Names
from tests.unit.history.stored import Told, numbered, opened, sealed, wait_until


def never() -> bool:
    return False


@pytest.fixture
def unsealed(tmp_path: Path) -> Path:
    """A directory with the open segment 5."""
    appender = Appender(open_path(tmp_path, 5))
    appender.append(numbered(3), StoredNames())
    appender.close()
    return tmp_path


def impostor(monkeypatch: pytest.MonkeyPatch, directory: Path, program: str) -> None:
    """Let a shell script be the process that seals."""
    script = directory / "python"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))


def test_segment_is_sealed_by_another_process(unsealed: Path) -> None:
    """The sealed file is there, the open one gone."""
    seal_aside(unsealed, 5, never)
    assert (1, []) == (len(sealed(unsealed)), opened(unsealed))


def test_errors_of_the_process_are_errors_here(unsealed: Path) -> None:
    """What the system refused is an OSError with its number."""
    with pytest.raises(FileNotFoundError):
        seal_aside(unsealed, 6, never)


def test_text_of_an_unforeseen_error_is_told(unsealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with a segment is said in a line."""
    impostor(monkeypatch, unsealed, """echo '[null, "KeyError: no such thing"]'; exit 1""")
    with pytest.raises(RingfenceError, match="KeyError: no such thing"):
        seal_aside(unsealed, 5, never)


def test_killed_process_is_told_as_such(unsealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that says nothing more has died."""
    impostor(monkeypatch, unsealed, "kill -9 $$")
    with pytest.raises(Died, match="ended with -9"):
        seal_aside(unsealed, 5, never)


def test_end_does_not_wait_for_the_process(unsealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is the end the process is killed, and the open form stays."""
    impostor(monkeypatch, unsealed, f"echo $$ > {unsealed}/pid; exec sleep 600")
    monkeypatch.setattr(aside, "_LOOK_SECONDS", 0.01)
    started = unsealed / "pid"
    with pytest.raises(Interrupted):
        seal_aside(unsealed, 5, lambda: started.exists() and started.read_text().endswith("\n"))
    assert [open_path(unsealed, 5)] == opened(unsealed)
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), signal.SIGCONT)


def test_segment_that_kills_its_process_is_put_aside(unsealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, as a death may be chance, but not for ever: the segments behind it have their turn."""
    said = Told()
    impostor(monkeypatch, unsealed, "kill -9 $$")
    found = Recorder(unsealed, Names(), Limits(flush_seconds=0.02, retry_seconds=0.02), said)
    wait_until(lambda: list(unsealed.glob("*.unreadable")))
    found.close(60.0)
    assert ["a segment cannot be sealed: the process that seals it ended with -9"] == said.said


def test_agent_that_stops_seals_in_time(tmp_path: Path) -> None:
    """What was recorded is sealed by its process when the recorder is closed."""
    found = Recorder(tmp_path, Names(), Limits(), Told())
    found.offer(numbered(5))
    found.close(60.0)
    assert (1, []) == (len(sealed(tmp_path)), opened(tmp_path))
