"""`python -m benchmarks.explain`: what one explanation costs among 1,000 workloads and 1,000 policies of 4,000 rules.

No kernel and no root. Documents are parsed and the world is made before the clock starts, as an agent has them; finding
the ends, judging, ranking near misses and making the document are measured, from nothing for each question. Processor
time, so that other work on the machine counts little.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from time import process_time
from typing import Any, Final

from benchmarks.policy_world import manifests
from ringfence.policy.explanation.who import Asked
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.world import World, build_world
from ringfence.service.explaining import explain_flow
from ringfence.traffic import parse_traffic

ROUNDS: Final = 15
#: What the issue allows.
MOST_MS: Final = 50.0
QUESTIONS: Final = {
    "denied, another port": ("ns0/p0", "ns1/p1", "81/TCP"),
    "denied, another namespace": ("ns3/p3", "ns4/p4", "80/TCP"),
    "denied, from outside": ("8.8.8.8", "ns5/p5", "80/TCP"),
    "denied, DNS": ("ns3/p3", "ns3/p23", "53/UDP"),
    "allowed": ("ns0/p0", "ns0/p700", "80/TCP"),
}


def main() -> int:
    """Measure all questions, print them as a table; with a path, write them there as JSON too."""
    world = build_world(parse_documents([Source("world.yaml", manifests())]))
    print(f"{'question':<30}{'verdict':>8}{'median':>9}{'worst':>9}   ms")
    found: dict[str, dict[str, Any]] = {}
    for name, asked in QUESTIONS.items():
        verdict, times = _measured(world, *asked)
        found[name] = {"verdict": verdict, "median_ms": statistics.median(times), "worst_ms": max(times)}
        print(f"{name:<30}{verdict:>8}{statistics.median(times):9.1f}{max(times):9.1f}")
    slowest = max(each["median_ms"] for each in found.values())
    print(f"slowest median {slowest:.1f} ms of {MOST_MS:.0f} ms allowed")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(found, indent=1) + "\n")
    return int(slowest > MOST_MS)


def _measured(world: World, source: str, destination: str, port: str) -> tuple[str, list[float]]:
    times, verdict = [], ""
    for _ in range(ROUNDS):
        start = process_time()
        verdict = explain_flow(world, Asked(source), Asked(destination), parse_traffic(port))["verdict"]
        times.append((process_time() - start) * 1000)
    return verdict, times


if __name__ == "__main__":
    sys.exit(main())
