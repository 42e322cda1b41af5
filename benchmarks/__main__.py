"""`python -m benchmarks`: measure, print the tables and write RESULTS.md and results.json beside this file."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from benchmarks import flips, machine, realpackets, report, testruns, worlds
from benchmarks.gates import Results
from benchmarks.realpackets import Effort
from ringfence.datapath import features
from ringfence.datapath.bpffs import ensure_bpffs
from ringfence.errors import RingfenceError

PARTS: Final = ("testruns", "flips", "packets")
# About five minutes, and under one.
FULL, QUICK = Effort(rounds=7, seconds=0.3, datagrams=100_000), Effort(rounds=1, seconds=0.15, datagrams=50_000)
TEST_RUN_ROUNDS: Final = {False: 61, True: 11}
FLIPS: Final = {False: 60, True: 10}


def main() -> int:
    """Run what was asked for. Only a full run of every part is written to the files."""
    arguments = _arguments()
    # An exception, so that namespaces, pins and processes are removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = monotonic()

    def say(what: str) -> None:
        print(f"{monotonic() - started:6.1f} s  {what}", file=sys.stderr, flush=True)

    before = machine.describe()
    results, failure = Results(), 0
    try:
        _measure(results, arguments.part or PARTS, say, quick=arguments.quick)
    except RingfenceError as error:
        # What was measured until then is still shown.
        print(f"error: {error}", file=sys.stderr)
        failure = error.exit_code
    report.show(results, before)
    if arguments.output or not (arguments.quick or arguments.part or failure):
        report.write(results, before, arguments.output or Path(__file__).parent)
    return failure


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, noisier; files are left as they are")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; files are left as they are")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="write the files there, whatever was measured")
    return parser.parse_args()


def _measure(results: Results, parts: Sequence[str], say: realpackets.Say, *, quick: bool) -> None:
    features.require()
    ensure_bpffs()
    worlds.remove_leftovers()
    flips.remove_leftovers()
    if "testruns" in parts:
        results.timings = testruns.measure(TEST_RUN_ROUNDS[quick], say)
    if "flips" in parts:
        results.flips = flips.measure(FLIPS[quick], say)
    if "packets" in parts:
        results.standings = realpackets.measure(QUICK if quick else FULL, say)


if __name__ == "__main__":
    sys.exit(main())
