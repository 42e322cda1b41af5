from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.exposed import names_in
from tests.promtool import promtool

DASHBOARD = json.loads((Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "ringfence.json").read_text())
# What Grafana puts in the place of its variables, in a form that Prometheus takes.
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m", "$instance": ".*"}


def expressions() -> Iterator[str]:
    """Every expression of the dashboard, as Prometheus would be asked."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    found += [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    for expression in found:
        asked = expression
        for name, value in VARIABLES.items():
            asked = asked.replace(name, value)
        yield asked


def test_every_expression_parses(tmp_path: Path) -> None:
    """Prometheus understands every query, with Grafana's variables filled in."""
    asked = list(expressions())
    assert [] == [each for each in asked if "$" in each]
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(asked)]
    checked = tmp_path / "rules.yaml"
    checked.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", checked)


def test_every_query_is_of_what_is_exposed(exposed: set[str]) -> None:
    """A panel asks for metrics that an agent tells; the list of hosts too."""
    used = {name for each in expressions() for name in names_in(each)}
    used |= {name for each in DASHBOARD["templating"]["list"] for name in names_in(each.get("definition", ""))}
    assert used - {"up"} <= exposed
    assert len(used) > 25


def test_labels_in_legends_are_there() -> None:
    """A legend speaks of labels that its query keeps."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            kept = re.search(r"\bby \(([^)]*)\)", target["expr"])
            if kept:
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(kept[1].split(", "))


def test_panels_have_room_and_say_what_they_show() -> None:
    """No panel covers another or sticks out; each has a title, and what has numbers a description."""
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]
    assert not [(a["title"], b["title"]) for a, b in combinations(panels, 2) if overlap(a["gridPos"], b["gridPos"])]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two places share any of the grid."""
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h"))
    )
