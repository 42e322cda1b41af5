"""`python -m benchmarks.events`: how many events a second each stage takes without a loss, beside libbpf's own consumer
in C in the same run, and what events cost a packet. Prints the tables, writes EVENTS.md, ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import machine, stages
from benchmarks.event_costs import Cost, aggregations, rings
from benchmarks.offered import Source, source
from benchmarks.stages import Passed
from ringfence.datapath import features

#: Offered, in events a second; each until one is not taken whole.
RATES: Final = (250_000, 500_000, 750_000, 1_000_000, 1_250_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 4_000_000)
TRIES: Final = 3
HERE: Final = Path(__file__).parent
Stage = Callable[[Source, int, float], Passed]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Best:
    """The highest rate that a stage took without a loss, and the CPU that our process used for an event there."""

    stage: str
    passed: Passed
    first_lost: Passed | None

    @property
    def nanoseconds(self) -> float:
        """CPU time of the reading process for each event; 0 where it was not ours."""
        return self.passed.cpu * 1e9 / self.passed.events if self.passed.events else 0.0


def main() -> int:
    """Measure, print and write. Exit code 1 if nothing came through without a loss."""
    arguments = _arguments()
    started = monotonic()

    def say(what: str) -> None:
        print(f"{monotonic() - started:6.1f} s  {what}", file=sys.stderr, flush=True)

    features.require()
    before = machine.describe()
    seconds = 1.0 if arguments.quick else 3.0
    found = _stages(seconds, say)
    costs = [*aggregations(11 if arguments.quick else 61, say), *rings(5 if arguments.quick else 21, say)]
    text = _report(found, costs, str(before))
    print(text)
    if not arguments.quick:
        (HERE / "EVENTS.md").write_text(text)
    ours = next(best for best in found if best.stage == STORE)
    reference = next(best for best in found if best.stage == C_CONSUMER)
    ratio = ours.passed.rate / reference.passed.rate if reference.passed.events else 0.0
    last = {"events_per_second": round(ours.passed.rate), "lost": ours.passed.lost, "ratio_to_c": round(ratio, 3)}
    print(json.dumps(last))
    return int(not ours.passed.events)


NOTE = (
    "Loads of three seconds. CPU is that of the process that reads; "
    "sealing segments into parquet is a process of its own."
)
C_CONSUMER, STORE = "consumer in C (libbpf)", "ring to store (parquet)"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute, noisier; EVENTS.md is left as it is")
    return parser.parse_args()


def _stages(seconds: float, say: Say) -> list[Best]:
    with ExitStack() as stack:
        offered = stack.enter_context(source())
        chosen: dict[str, Stage] = {
            C_CONSUMER: stack.enter_context(stages.c_consumer()),
            "reader alone": stages.ring_only,
            "and newest flows in memory": stages.memory,
            "and a dashboard's digests": stages.digests,
            STORE: stages.store,
        }
        return [_best(name, stage, offered, seconds, say) for name, stage in chosen.items()]


def _best(name: str, stage: Stage, offered: Source, seconds: float, say: Say) -> Best:
    best, lost = Passed(0, 0, seconds, 0.0), None
    for rate in RATES:
        passed = _try(stage, offered, rate, seconds)
        say(f"{name}: {passed.rate:,.0f} of {rate:,} events a second, {passed.lost:,} lost")
        if passed.lost or passed.rate < 0.95 * rate:
            # Nothing lost, and yet not all offered: the writer could not make more.
            best, lost = (passed, None) if not passed.lost and passed.rate > best.rate else (best, passed)
            break
        best = passed
    return Best(name, best, lost)


def _try(stage: Stage, offered: Source, rate: int, seconds: float) -> Passed:
    """The best of a few tries: a loss because a neighbour had the CPU says nothing of the stage."""
    for _ in range(TRIES):
        passed = stage(offered, rate, seconds)
        if not passed.lost:
            break
    return passed


def _report(found: Sequence[Best], costs: Sequence[Cost], about: str) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    table = Table("stage", "events/s without a loss", "ns of CPU an event", "first loss at", box=None, pad_edge=False)
    for best in found:
        at = f"{best.first_lost.rate:,.0f}/s ({best.first_lost.lost:,} lost)" if best.first_lost else "none"
        used = f"{best.nanoseconds:,.0f}" if best.passed.cpu else "-"
        table.add_row(best.stage, f"{best.passed.rate:,.0f}", used, at)
    priced = Table("what", "ns a packet", "more than", box=None, pad_edge=False)
    for cost in costs:
        priced.add_row(cost.what, f"{cost.nanoseconds:,.0f}", cost.against)
    console.print(table)
    console.print()
    console.print(priced)
    body = "\n".join(line.rstrip() for line in console.export_text().splitlines())
    return f"# Events, measured\n\n`make bench-events` wrote this. {about}\n\n{NOTE}\n\n```\n{body}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
