"""Judge generated worlds without end, by all judges, until stopped or until two of them disagree.

Run as `python -m tests.generated.prove`, or `make prove`. The kernel takes part where programs can be loaded. The first
counterexample, as small as could be made, is written as a spec file into tests/spec.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import zlib
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from ringfence.datapath.judge import JudgingKernel, KernelJudge
from ringfence.errors import Unavailable
from ringfence.policy.builtin import Settings
from ringfence.policy.test import MapJudge
from tests.generated.judging import Disagreement, JudgeFactory, disagreements, packets, world_of
from tests.generated.pieces import Json
from tests.generated.spec_file import spec_file
from tests.generated.worlds import worlds

SPEC = Path(__file__).parents[1] / "spec"
WORLDS_A_ROUND = 50
ONE_IN = 4
_SETTINGS = (Settings(), Settings(), Settings(enforcement="always"), Settings(policy_cidr_match_mode="nodes"))


class Disagreed(AssertionError):  # noqa: N818 - it is what is looked for
    """Two judges of one world disagree."""

    def __init__(self, documents: list[Json], found: Disagreement) -> None:
        super().__init__(str(found))
        self.documents = documents
        self.found = found


class Prover:
    """Rounds of worlds, with a count of what was judged."""

    def __init__(self, judges: list[JudgeFactory]) -> None:
        self.judges = judges
        self.worlds = 0
        self.verdicts = 0

    def round(self, number: int) -> None:
        """Judge some worlds. Raises `Disagreed`, with the world made small."""
        chosen = _SETTINGS[number % len(_SETTINGS)]

        @seed(number)
        @settings(
            max_examples=WORLDS_A_ROUND,
            deadline=None,
            database=None,
            verbosity=Verbosity.quiet,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(worlds(), st.integers(0, 1000))
        def in_any_world(documents: list[Json], which: int) -> None:
            self._judge(documents, chosen, which)

        in_any_world()

    def _judge(self, documents: list[Json], chosen: Settings, which: int) -> None:
        world = world_of(documents, chosen)
        for difference in disagreements(world, packets(world, ONE_IN, which), self.judges):
            if difference:
                raise Disagreed(documents, difference)
            self.verdicts += 1
        self.worlds += 1


def write_counterexample(disagreed: Disagreed) -> Path:
    """Write the spec file and say where it is."""
    key = zlib.crc32(str(disagreed.documents).encode())
    path = SPEC / f"found-{key:08x}.yaml"
    path.write_text(spec_file(path.stem, disagreed.documents, disagreed.found), "utf-8")
    return path


def _judges(resources: ExitStack) -> list[JudgeFactory]:
    judges: list[JudgeFactory] = [MapJudge]
    try:
        kernel = resources.enter_context(JudgingKernel())
    except (Unavailable, OSError) as error:
        print(f"without the kernel: {error}", flush=True)
    else:
        judges.append(lambda compiled: KernelJudge(compiled, kernel))
    return judges


def prove(first: int, rounds: int | None) -> int:
    """Run rounds; without a number of them, for ever. Exit code 1 on a disagreement."""
    started = time.monotonic()
    with ExitStack() as resources:
        prover = Prover(_judges(resources))
        for number in itertools.count(first) if rounds is None else range(first, first + rounds):
            try:
                prover.round(number)
            except Disagreed as disagreed:
                print(f"{disagreed}\nwritten to {write_counterexample(disagreed)}", flush=True)
                return 1
            seconds = time.monotonic() - started
            rate = prover.verdicts / seconds
            print(
                f"round {number}: {prover.worlds:,} worlds, {prover.verdicts:,} verdicts agree, {rate:,.0f} a second",
                flush=True,
            )
    return 0


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=int(time.time()), help="number of the first round; it is its seed")
    parser.add_argument("--rounds", type=int, help="stop after so many rounds")
    options = parser.parse_args()
    try:
        return prove(options.first, options.rounds)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
