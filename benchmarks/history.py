"""`python -m benchmarks.history [ROWS]`: what keeping flows costs, and asking for them. No kernel and no root.

Rates are of one core: rows by the processor time that they took, so that neighbours do not change them much. Queries
are timed by the clock and by the time of all cores together, with the files in the page cache.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, thread_time, time_ns
from typing import Final

from benchmarks.mixed_flows import Names, mixed_flows
from ringfence.flow.decode import Events
from ringfence.history.archive import Archive
from ringfence.history.database import opened
from ringfence.history.frames import Appender
from ringfence.history.limits import Limits
from ringfence.history.names import StoredNames
from ringfence.history.overview import overview
from ringfence.history.recorder import FRAME_ROWS, Recorder
from ringfence.history.sealing import seal
from ringfence.history.segments import listing, open_path
from ringfence.history.table import to_table

ROWS: Final = 10_000_000
ROUNDS: Final = 5
GROUP_BY: Final = "SELECT rule, verdict, count(*) FROM flows GROUP BY ALL ORDER BY 3 DESC"
RARE: Final = "SELECT time, port FROM flows WHERE source_address = '10.0.0.59' AND verdict = 'deny' LIMIT 20"
Seconds = dict[str, float]


def main() -> int:
    """Measure, print one line of JSON."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with TemporaryDirectory(dir=Path(__file__).parent) as directory:
        found = measure(Path(directory), rows)
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))
    return 0


def measure(directory: Path, rows: int) -> Seconds:
    """All figures, with a history of so many rows in a directory."""
    events = mixed_flows(min(rows, Limits().segment_rows), time_ns() - 3600 * 10**9)
    found = {"table_rows_per_core_second": table_rate(events)}
    (directory / "rates").mkdir()
    found |= stored(directory / "rates", events)
    (directory / "many").mkdir()
    fill(directory / "many", rows)
    return found | asked(directory / "many") | recorded(directory / "recorder", events)


def table_rate(events: Events) -> float:
    """Rows a second of a core that become columns with names."""
    sample = events[: 1 << 17]
    to_table(sample, Names())
    return len(sample) / min(_spent(lambda: to_table(sample, Names())) for _ in range(ROUNDS))


def stored(directory: Path, events: Events) -> Seconds:
    """Rows a second of a core that are written to an open segment, and sealed; bytes of a row in each form."""
    appender = Appender(open_path(directory, 1))
    writing = _spent(lambda: _append(appender, events))
    opened_bytes = appender.size
    appender.close()
    sealing = _spent(lambda: seal(directory, 1))
    [segment] = listing(directory)
    return {
        "open_rows_per_core_second": len(events) / writing,
        "sealed_rows_per_core_second": len(events) / sealing,
        "open_bytes_per_flow": opened_bytes / len(events),
        "sealed_bytes_per_flow": segment.size / len(events),
    }


def _append(appender: Appender, events: Events) -> None:
    for frame in _frames(events):
        appender.append(frame, StoredNames.of(frame, Names()))


def _frames(events: Events) -> Iterator[Events]:
    return (events[start : start + FRAME_ROWS] for start in range(0, len(events), FRAME_ROWS))


def recorded(directory: Path, events: Events) -> Seconds:
    """Processor seconds a million events that the whole recorder takes, until all of them are sealed."""
    before = _all_processes()
    recorder = Recorder(directory, Names(), Limits(queue_events=len(events)), lambda _: None)
    for frame in _frames(events):
        recorder.offer(frame)
    recorder.close(600.0)
    spent = _all_processes() - before
    seen = overview(directory)
    return {"recorder_core_seconds_per_million": spent * 1e6 / seen.rows, "recorder_lost": float(recorder.lost)}


def fill(directory: Path, rows: int) -> None:
    """Make a sealed history of so many rows."""
    size, start = Limits().segment_rows, time_ns() - 86400 * 10**9
    for key, first in enumerate(range(0, rows, size), 1):
        events = mixed_flows(min(size, rows - first), start, seed=key)
        appender = Appender(open_path(directory, key))
        _append(appender, events)
        appender.close()
        seal(directory, key)
        start = int(events["time"][-1])


def asked(directory: Path) -> Seconds:
    """Milliseconds of a grouping over all rows, and of a search, by the clock and of all cores; rows a second that the
    archive reads back.
    """
    found: Seconds = {"rows": float(overview(directory).rows)}
    with opened(directory) as database:
        for name, statement in (("group_by", GROUP_BY), ("search", RARE)):
            timed = [_timed(lambda statement=statement: list(database.select(statement).rows)) for _ in range(ROUNDS)]  # type: ignore[misc] # called at once
            found[f"{name}_ms"], found[f"{name}_core_ms"] = (median(each) * 1000 for each in zip(*timed, strict=True))
    read = [0]

    def read_some() -> None:
        for events, _ in Archive(directory).batches(None, None, newest_first=True):
            read[0] += len(events)
            if read[0] >= Limits().segment_rows:
                break

    spent = _spent(read_some)
    return found | {"read_rows_per_core_second": read[0] / spent}


def _all_processes() -> float:
    """Processor time of this process and of those that it has started and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def _spent(work: Callable[[], object]) -> float:
    before = thread_time()
    work()
    return thread_time() - before


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of all cores together."""
    clock, cores = perf_counter(), process_time()
    work()
    return perf_counter() - clock, process_time() - cores


if __name__ == "__main__":
    sys.exit(main())
