"""`ringfence policy graph` and `policy table`: who reaches whom, as pictures that parse and as a matrix that fits."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli
from ringfence.cli.policy_table import lines_of
from ringfence.policy.drawing.layout import layered
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.reach import reach
from tests.unit.cli.test_policy_diff import POLICY, WORKLOADS

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.yaml").write_text(WORKLOADS + POLICY.format(peer="frontend", port=8080))
    return tmp_path


def ask(command: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["policy", command, "all.yaml", *arguments], catch_exceptions=False)


def test_a_table_shows_who_reaches_whom() -> None:
    """Rows are sources; all, nothing or the ports; the legend says who is isolated. No colours but on a terminal."""
    assert ask("table").stdout.splitlines() == [
        "                            1    2    3    4    5",
        "1 shop/app=backend             all  all  all  all",
        "2 shop/app=cron             -       all  all  all",
        "3 shop/app=frontend  8080/TCP  all       all  all",
        "4 host                    all  all  all",
        "5 world                     -  all  all",
        "",
        "rows reach columns: all, - nothing, or on these ports; empty: not a question of policies",
        "not isolated: 2, 3",
        "1 default deny: ingress",
    ]


def test_a_table_fits_the_terminal() -> None:
    """In a narrow one it comes in parts, and what is too wide for a cell is a letter in the legend."""
    text = WORKLOADS + POLICY.format(peer="frontend", port=8080)
    lines = list(lines_of(reach(parse_documents([Source("all.yaml", text)])), 34))
    matrix = lines[
        : lines.index("rows reach columns: all, - nothing, or on these ports; empty: not a question of policies")
    ]
    assert max(map(len, matrix)) <= 34
    assert "a = 8080/TCP" in lines
    assert matrix.count("") == 2


def test_workloads_that_no_policy_tells_apart_are_one_group(here: Path) -> None:
    """Ten replicas that differ in a label that no rule names are one node, called by what they share."""
    for number in range(10):
        with (here / "all.yaml").open("a") as file:
            file.write(
                "---\napiVersion: v1\nkind: Pod\nmetadata: "
                f"{{name: backend-{number}, namespace: shop, labels: {{app: backend, replica: '{number}'}}}}\n"
            )
    told = json.loads(ask("graph", "-o", "json").stdout)
    [group] = [each for each in told["nodes"] if each["name"] == "shop/app=backend"]
    assert len(group["workloads"]) == 11
    assert group["isolated"] == ["ingress"]


def test_a_picture_leaves_out_what_holds_by_default() -> None:
    """Drawn are the paths that a rule has a part in; with --defaults all of them."""
    drawn = ask("graph", "-o", "mermaid").stdout
    assert [line.strip() for line in drawn.splitlines() if "-->" in line] == [
        'n2 -->|"8080/TCP"| n0',
        'n3 -->|"everything"| n0',
    ]
    assert '  n1["shop/app=cron<br/>not isolated"]:::open' in drawn.splitlines()
    assert ask("graph", "-o", "mermaid", "--defaults").stdout.count("-->") == 16


def test_an_svg_is_well_formed_and_goes_to_a_file(here: Path) -> None:
    """It parses as XML, has a box for each group and a curve for each path, and dashes who is not isolated."""
    result = ask("graph", "--file", "reach.svg")
    assert result.stdout == ""
    drawing = ET.fromstring((here / "reach.svg").read_text())  # noqa: S314 - our own
    boxes = [each for each in drawing.iter(f"{SVG}rect") if each.get("rx")]
    assert len(boxes) == 5
    assert sum(each.get("stroke-dasharray") is not None for each in boxes) == 2
    assert len([each for each in drawing.iter(f"{SVG}path") if each.get("class") == "path"]) == 2
    assert "8080/TCP" in {each.text for each in drawing.iter(f"{SVG}text")}


def test_narrowing_leaves_what_is_asked_for(here: Path) -> None:
    """--from and --to name groups or workloads; a namespace leaves paths with an end in it."""
    told = json.loads(ask("graph", "-o", "json", "--from", "shop/frontend", "--to", "*backend").stdout)
    assert [(each["source"], each["destination"], each["ports"]) for each in told["paths"]] == [
        ("shop/app=frontend", "shop/app=backend", ["8080/TCP"])
    ]
    (here / "other.yaml").write_text(
        "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: bank, labels: {x: y}}}"
    )
    names = [
        each["name"]
        for each in json.loads(ask("table", "other.yaml", "-o", "json", "--namespace", "bank").stdout)["nodes"]
    ]
    assert "bank/x=y" in names
    told = json.loads(ask("table", "other.yaml", "-o", "json", "--namespace", "bank", "--to", "bank/*").stdout)
    assert set(told["cells"]["shop/app=cron"]) == {"bank/x=y"}


def test_layers_put_a_source_left_of_its_destination_and_nothing_overlaps() -> None:
    """Also where there is a circle, which one path has to go back for."""
    edges = [(0, 1), (1, 2), (0, 3), (3, 2), (2, 0)]
    boxes = layered([(100, 40)] * 5, edges)
    assert [boxes[at].x < boxes[to].x for at, to in edges] == [True, True, True, True, False]
    for one in boxes:
        for other in boxes:
            apart = abs(one.x - other.x) >= 100 or abs(one.y - other.y) >= 40
            assert one is other or apart


def test_labels_are_escaped() -> None:
    """What a label may hold is never markup: quotes and brackets of a name stay text in every form."""
    from ringfence.policy.drawing import FORMS  # noqa: PLC0415
    from ringfence.policy.reach import Node, Reach  # noqa: PLC0415

    found = Reach((Node('a"]<b>&\\', "entity"),), (), frozenset())
    assert 'n0{{"a#34;#93;#60;b#62;#38;#92;"}}' in FORMS["mermaid"](found)
    assert 'label="a\\"]<b>&\\\\"' in FORMS["dot"](found)
    assert "a&quot;" in FORMS["svg"](found) or 'a"]&lt;b&gt;&amp;\\' in FORMS["svg"](found)
