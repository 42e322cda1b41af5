"""What Ringfence holds itself to, and whether a run met it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.flips import Flips
from benchmarks.realpackets import Standing
from benchmarks.testruns import Timing

ESTABLISHED_NS = 45.0
REAL_PACKET_NS = 150.0
FLIP_MS = 5.0
FLIP_SHARE = 0.95
PEER, STACK, AGAIN = "Ringfence, delivered to the peer", "Ringfence, left to the stack", "no policy, once more"


@dataclass(frozen=True, slots=True)
class Gate:
    """One aim, what was measured, and the answer."""

    aim: str
    measured: str
    met: bool


@dataclass(slots=True)
class Results:
    """All that a run has measured so far; a part that was left out is empty."""

    timings: Sequence[Timing] = ()
    standings: Mapping[str, Sequence[Standing]] = field(default_factory=dict)
    flips: Flips | None = None


def gates(results: Results) -> list[Gate]:
    """Every aim whose measurement was part of the run."""
    return [*_test_runs(results.timings), *_real_packets(results.standings), *_flips(results.flips)]


def _test_runs(timings: Sequence[Timing]) -> Iterator[Gate]:
    for timing in timings:
        if timing.name in {"established, hot, IPv4 TCP", "established, hot, IPv4 UDP"}:
            aim = f"{timing.name}: within {ESTABLISHED_NS:.0f} ns of an empty program"
            yield Gate(aim, f"+{timing.added:.0f} ns", timing.added <= ESTABLISHED_NS)


def _real_packets(standings: Mapping[str, Sequence[Standing]]) -> Iterator[Gate]:
    for measurement, contenders in standings.items():
        found = {standing.contender: standing for standing in contenders}
        if measurement == "UDP one way, one flow":
            for name in (PEER, STACK):
                added = found[name].difference
                aim = f"real packets, one flow, {name}: within {REAL_PACKET_NS:.0f} ns of no program"
                yield Gate(aim, f"{added:+.0f} ns", added <= REAL_PACKET_NS)
        elif "request-response" in measurement or "throughput" in measurement:
            aim = f"{measurement}: at least as good as no policy"
            yield Gate(aim, f"{found[PEER]} (no policy against itself: {found[AGAIN]})", found[PEER].ratio >= 1)


def _flips(flips: Flips | None) -> Iterator[Gate]:
    if flips:
        aim = f"{FLIP_SHARE:.0%} of flipped rules judge within {FLIP_MS:.0f} ms of the call, through the whole agent"
        measured = (
            f"{flips.median:.1f} ms median, {flips.most:.1f} ms at most, "
            f"{flips.share_within(FLIP_MS):.0%} of {len(flips.milliseconds)} within"
        )
        yield Gate(aim, measured, flips.share_within(FLIP_MS) >= FLIP_SHARE)
