"""A writer that is killed: what it had written a moment before is there, and a finished segment always."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from ringfence.history.archive import Archive
from tests.unit.flow.batch import Names
from tests.unit.history.stored import lengths, opened, recorder, sealed, wait_until

ROOT = Path(__file__).parents[3]
_KILLS = 3
_PACE = 2000  # events between two words of the writer

# It offers numbered events and, after each flush, says how many are on the disk by its word.
_WRITER = """
import sys
from pathlib import Path
from tests.unit.flow.batch import Names
from tests.unit.history.stored import numbered, recorder
from ringfence.history.limits import Limits
from ringfence.history.recorder import Recorder

directory, start, aside = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "aside"
limits = {"segment_rows": 7000, "flush_seconds": 0.01}
found = Recorder(directory, Names(), Limits(**limits), print) if aside else recorder(directory, Names(), **limits)
while True:
    found.offer(numbered(2000, start))
    start += 2000
    found.flush(60.0)
    print(start, flush=True)
"""


@pytest.mark.parametrize("sealing", ["within", "aside"])
@pytest.mark.parametrize("seed", range(_KILLS))
def test_kill_at_any_moment_loses_nothing_that_was_written(tmp_path: Path, seed: int, sealing: str) -> None:
    """After SIGKILL every event that had been flushed is there once, in order, whatever segment was being written,
    sealed or renamed; the next recorder seals what was left and goes on.
    """
    chance, promised = random.Random(seed), 0
    for _ in range(2):
        promised = _write_until_killed(tmp_path, promised, sealing, chance)
        kept = _everything(tmp_path)
        assert list(range(len(kept))) == kept
        assert promised <= len(kept) <= promised + _PACE
        promised = len(kept)
    found = recorder(tmp_path, Names())
    wait_until(lambda: sealed(tmp_path) and not opened(tmp_path))
    found.close(60.0)
    assert list(range(promised)) == _everything(tmp_path)
    # One that the killed writer had begun in a process of its own ends by itself.
    wait_until(lambda: not list(tmp_path.glob("*.sealing")))


def _everything(directory: Path) -> list[int]:
    return lengths(Archive(directory).batches(None, None, newest_first=False))


def _write_until_killed(directory: Path, start: int, sealing: str, chance: random.Random) -> int:
    """Let a process write for a random while after its first words; the number that it promised last."""
    command = [sys.executable, "-c", _WRITER, str(directory), str(start), sealing]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        promised = int(writer.stdout.readline())
        end = monotonic() + chance.uniform(0, 0.6)
        while monotonic() < end:
            promised = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            promised = int(line) if line.endswith("\n") else promised
    return promised
