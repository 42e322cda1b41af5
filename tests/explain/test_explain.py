"""The quality of explanation: for every broken set-up the nearest miss names the cause, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ringfence.policy.explanation.who import Asked
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.world import build_world
from ringfence.service.explaining import explain_flow
from ringfence.traffic import parse_traffic

HERE = Path(__file__).parent
CLUSTER, CROWD = (Source(name, (HERE / "cluster" / name).read_text()) for name in ("cluster.yaml", "crowd.yaml"))
SETUPS = sorted(HERE.glob("*.yaml"))
#: Stands behind the line of the rule that the nearest miss must be about.
MARK = "# the rule"
LEAST_SETUPS = 50


@dataclass(frozen=True)
class Setup:
    """A broken set-up: its text, the flow asked about, and what a good engineer would say of it."""

    name: str
    text: str
    flow: dict[str, Any]
    says: str

    @classmethod
    def read(cls, path: Path) -> Setup:
        text = path.read_text()
        asked = next(each for each in yaml.safe_load_all(text) if each["kind"] == "Explanation")
        return cls(path.name, text, asked["flow"], asked["says"])

    @property
    def line(self) -> str:
        number = next(index for index, line in enumerate(self.text.splitlines(), 1) if MARK in line)
        return f"{self.name}:{number}"

    def explained(self, *others: Source) -> dict[str, Any]:
        parsed = parse_documents([CLUSTER, *others, Source(self.name, self.text)], strict=False)
        ends = Asked(self.flow["from"]), Asked(self.flow["to"])
        traffic, source_port = parse_traffic(self.flow["port"]), self.flow.get("sourcePort")
        return explain_flow(build_world(parsed), *ends, traffic, source_port)


def test_there_are_many_setups() -> None:
    """What can go wrong is more than what one person thinks of in an hour."""
    assert len(SETUPS) >= LEAST_SETUPS


@pytest.mark.parametrize("others", [(), (CROWD,)], ids=["alone", "crowd"])
@pytest.mark.parametrize("path", SETUPS, ids=lambda path: path.stem)
def test_the_nearest_miss_names_the_cause(path: Path, others: tuple[Source, ...]) -> None:
    """The first near miss says what a good engineer would say, of the rule that it is about, also in a crowd."""
    setup = Setup.read(path)
    found = setup.explained(*others)
    assert found["verdict"] == "deny"
    first = found["near_misses"][0]
    told = "\n".join(f"{miss['rule']['origin']}: {miss['text']}" for miss in found["near_misses"])
    assert setup.says in first["text"], told
    assert setup.line == first["rule"]["origin"], told
