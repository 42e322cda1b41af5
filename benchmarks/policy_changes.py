"""`python -m benchmarks.policy_changes [FLOWS]`: what comparing, replaying and learning policies takes, among 1,000
workloads and 1,000 policies: `policy diff` and `policy replay` of changed policies and `policy learn`. What is replayed
and learned from is a file of a million flows.

No kernel and no root. Reading manifests and flows is measured with the rest, as the commands do it. Processor time, so
that other work on the machine counts little. The learned set has to be complete, each changed policy has to be found
and each flow to be accounted for, or there is no figure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Final

from benchmarks import recorded_flows
from benchmarks.policy_world import COUNT, manifests
from ringfence import library

FLOWS: Final = 1_000_000
CHANGED: Final = (0, 1, 100, COUNT)
REPLAYED: Final = 100
#: What the issue allows.
MOST_SECONDS: Final = 60.0


def main() -> int:
    """Measure all, print a line each and JSON last. Exit code 1 if any takes longer than it may."""
    flows = int(sys.argv[1]) if len(sys.argv) > 1 else FLOWS
    found = {}
    for changed in CHANGED:
        found[f"diff, {changed:,} of {COUNT:,} policies changed"] = _diff(changed)
    with TemporaryDirectory(dir=Path(__file__).parent) as directory:
        path = Path(directory) / "flows.jsonl"
        connections = recorded_flows.write(path, flows)
        found[f"learn, {flows:,} flows of {connections:,} connections"] = _learn(path, connections)
        found[f"replay, {flows:,} flows, {REPLAYED:,} of {COUNT:,} policies changed"] = _replay(path, flows)
    for what, seconds in found.items():
        print(f"{what:<62}{seconds:8.1f} s of {MOST_SECONDS:.0f} s allowed")
    print(json.dumps({what: round(seconds, 2) for what, seconds in found.items()}))
    return int(max(found.values()) > MOST_SECONDS)


def _diff(changed: int) -> float:
    """Seconds for reading both sets and comparing them. Raises RuntimeError when a change was not found."""
    old, new = manifests(), manifests(changed)
    start = process_time()
    changes = library.parse(old).changes(library.parse(new))
    spent = process_time() - start
    touched = {group for change in changes if change.opened for group in change.destinations}
    if len(touched) != changed:
        raise RuntimeError(f"{len(touched)} workloads come to be reached, expected {changed}")
    return spent


def _learn(path: Path, connections: int) -> float:
    """Seconds for reading, learning and proving. Raises RuntimeError when the proof does not hold."""
    start = process_time()
    learned = library.learn(path)
    spent = process_time() - start
    if not learned.complete or learned.proof.connections != connections:
        raise RuntimeError(f"of {connections} connections {learned.proof.connections} were covered")
    return spent


def _replay(path: Path, flows: int) -> float:
    """Seconds for reading policies and flows and judging. Raises RuntimeError when flows or changes are missing."""
    new = manifests(REPLAYED)
    start = process_time()
    replayed = library.parse(new).replay(path)
    spent = process_time() - start
    told = replayed.judged + sum(replayed.passed_over.values())
    if told != flows or not replayed.closed:
        raise RuntimeError(f"{told} of {flows} flows are accounted for, {replayed.closed} would be denied")
    return spent


if __name__ == "__main__":
    sys.exit(main())
