"""Generated worlds, judged by the real programs: one object goes from each to the next by a commit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.datapath.judge import JudgingKernel, KernelJudge
from ringfence.policy.test import MapJudge
from tests.generated.judging import agreed, packets, world_of
from tests.generated.pieces import Json
from tests.generated.test_agreement import SLOW
from tests.generated.worlds import worlds

#: Of each packet two verdicts are compared with the oracle's: the map's and the kernel's.
JUDGES = 2
LEAST_VERDICTS = 10_000


def test_the_kernel_decides_by_the_same_rules_as_the_book(judging: JudgingKernel) -> None:
    """For packets of any world, the programs give the oracle's verdict and name its rule."""
    verdicts = 0

    @settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
    @given(worlds(), st.integers(0, 1000))
    def in_any_world(documents: list[Json], seed: int) -> None:
        nonlocal verdicts
        world = world_of(documents)
        judges = (MapJudge, lambda compiled: KernelJudge(compiled, judging))
        verdicts += agreed(world, packets(world, 5, seed), judges) // JUDGES

    in_any_world()
    assert verdicts >= LEAST_VERDICTS
