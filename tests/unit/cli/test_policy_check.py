from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli

HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n  podSelector: {}\n"
CLEAN = HEAD + "  ingress: [{from: [{podSelector: {}}]}]\n"
INFO = HEAD + "  ingress: [{}]\n"
WARNING = HEAD + "  ingress: [{from: []}]\n"
ERROR = HEAD + "  ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/24]}}]}]\n"


def run(text: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["policy", "check", "-", *arguments], input=text)


@pytest.mark.parametrize(
    ("text", "plain", "strict"), [(CLEAN, 0, 0), (INFO, 0, 0), (WARNING, 0, 1), (ERROR, 1, 1), ("kind: 1", 2, 2)]
)
def test_exit_code_by_severity(text: str, plain: int, strict: int) -> None:
    """An error is exit code 1, a warning with --strict only, bad input 2."""
    assert run(text).exit_code == plain
    assert run(text, "--strict").exit_code == strict


def test_findings_are_lines_with_their_count() -> None:
    """Each finding is a line that begins with its place; the last line counts them."""
    first, last = run(WARNING).stdout.splitlines()
    assert first.startswith("<stdin>:6:14: warning RF104 allows-everybody: ")
    assert last == "0 errors, 1 warning, 0 infos"


def test_findings_as_json() -> None:
    """Programs get each finding by its fields, and the counts."""
    told = json.loads(run(WARNING, "-o", "json").stdout)
    assert (told["errors"], told["warnings"], told["infos"]) == (0, 1, 0)
    (finding,) = told["findings"]
    assert (finding["file"], finding["line"], finding["column"]) == ("<stdin>", 6, 14)
    assert (finding["code"], finding["name"], finding["severity"]) == ("RF104", "allows-everybody", "warning")
    assert finding["policy"] == "NetworkPolicy/default/p"


def test_findings_as_annotations(tmp_path: Path) -> None:
    """GitHub's annotations name file, line and column; what would end a property early is escaped."""
    path = tmp_path / "a,b.yaml"
    path.write_text(WARNING)
    result = CliRunner().invoke(cli, ["policy", "check", "-o", "github", str(path)])
    escaped = str(path).replace(",", "%2C")
    assert result.stdout.startswith(f"::warning file={escaped},line=6,col=14,title=RF104 allows-everybody::`from` is")
    assert run(INFO, "-o", "github").stdout.startswith("::notice file=<stdin>,line=6,col=13,")
    assert run("kind: 1", "-o", "github").stdout.startswith("::error file=<stdin>,line=1,col=1,title=bad input::")
