"""A counterexample as a spec file: the world as it was generated and one case that the oracle answers."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from ringfence.abi import Verdict
from ringfence.policy.world import Actor
from ringfence.verdict import Judgement
from tests.generated.judging import Disagreement
from tests.generated.pieces import Json


def spec_file(name: str, documents: list[Json], found: Disagreement) -> str:
    """The text of a spec file that fails as long as they disagree, unless both name a rule of one policy."""
    source, destination, traffic = found.packet
    case = {"from": _party(source), "to": _party(destination), "port": str(traffic), "expect": _verdict(found.expected)}
    decisions = found.expected.decisions
    if decisions and decisions[-1].rule.policy:
        case["by"] = decisions[-1].rule.policy
    test = {"apiVersion": "ringfence.io/v1", "kind": "PolicyTest", "metadata": {"name": name}, "cases": [case]}
    parts = (yaml.safe_dump(each, sort_keys=False, width=120) for each in [*documents, test])
    return "".join(_comment(found)) + "---\n".join(parts)


def _comment(found: Disagreement) -> Iterator[str]:
    yield f"# Found by make prove: the {found.judge} judge and the oracle disagree. Say here which rule it is about.\n"
    for line in str(found).splitlines():
        yield f"# {line}\n"


def _party(actor: Actor) -> str:
    """An actor as cases call it: the worlds have no other nodes than the first two."""
    return {"node node0": "host", "node node1": "remote-node"}.get(actor.name, actor.name)


def _verdict(judgement: Judgement) -> str:
    return "allow" if judgement.verdict == Verdict.ALLOW else "deny"
