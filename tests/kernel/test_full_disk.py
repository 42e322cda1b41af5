from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# On a filesystem of four megabytes, in a mount namespace that ends with the process.
_PROGRAM = """
import json, os, sys
from pathlib import Path
from tests.unit.flow.batch import Names
from tests.unit.history.stored import lengths, numbered, recorder, wait_until
from ringfence.history.archive import Archive

place, spare = Path(sys.argv[1]), int(sys.argv[2])
flows, other = place / "flows", place / "other"
found = recorder(flows, Names(), segment_rows=1000, spare_bytes=spare)


def offer(start):
    found.offer(numbered(500, start))
    found.flush(60.0)


def kept():
    return lengths(Archive(flows).batches(None, None, newest_first=False))


offer(0)
wait_until(lambda: found.state == "recording")
free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
try:
    other.write_bytes(bytes(free - 20_000))
except OSError:
    pass
start = 500
while found.state == "recording":
    offer(start)
    start += 500
stopped = {"state": found.state, "reason": found.reason, "lost": found.lost, "kept": kept()}
other.unlink()
wait_until(lambda: offer(10**6) or found.state == "recording")
found.close(60.0)
print(json.dumps(stopped | {"then": found.state, "at_last": kept(), "lost_at_last": found.lost, "offered": start}))
"""


def _fill(tmp_path: Path, spare: int) -> Any:
    shell = f'mount -t tmpfs -o size=4m tmpfs {tmp_path} && exec "$@"'
    program = [sys.executable, "-c", _PROGRAM, str(tmp_path), str(spare)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", shell, "sh", *program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_full_disk_stops_recording_and_costs_nothing_that_was_kept(tmp_path: Path) -> None:
    """A filesystem without room: recording stops and says why, what was recorded stays readable, every event is either
    kept or counted as lost, and once there is room it goes on.
    """
    told = _fill(tmp_path, spare=0)
    assert ("stopped", "No space left on device") == (told["state"], told["reason"])
    assert told["offered"] == len(told["kept"]) + told["lost"]
    assert list(range(len(told["kept"]))) == told["kept"]
    assert "recording" == told["then"]
    assert told["kept"] == told["at_last"][: len(told["kept"])]
    assert 10**6 in told["at_last"]


def test_last_bit_of_a_disk_is_left_to_others(tmp_path: Path) -> None:
    """Recording stops before the filesystem is full: whoever else writes there still can."""
    told = _fill(tmp_path, spare=1 << 20)
    assert ("stopped", "No space left on device", "recording") == (told["state"], told["reason"], told["then"])
    assert [0, 499] == told["kept"][:500:499]
