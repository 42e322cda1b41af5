from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli
from ringfence.policy.mapstate import MapState, PolicyKey
from ringfence.verdict import RuleText

FILE = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{ports: [{port: 80}]}]
"""


def run(*arguments: str, text: str = FILE) -> Result:
    return CliRunner().invoke(cli, ["policy", "verify", "-", *arguments], input=text)


def test_equal_is_told_with_the_number_of_classes() -> None:
    """What is proven is exit code 0 and one line that says over how many classes."""
    result = run()
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].startswith("equal over ")
    assert result.stdout.splitlines()[0].endswith(" classes, standing for all packets")
    told = json.loads(run("-o", "json").stdout)
    assert told["equal"] is True
    assert told["counterexample"] is None
    assert f"equal over {told['classes']} classes" in result.stdout


def test_a_counterexample_is_told_with_both_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that forgets an entry is refuted: exit code 1, the packet, and what book and map say of it."""
    whole = MapState.items

    def forgetful(state: MapState) -> list[tuple[PolicyKey, RuleText]]:
        return [(key, text) for key, text in whole(state) if key.port != 80]

    monkeypatch.setattr(MapState, "items", forgetful)
    result = run()
    assert result.exit_code == 1
    assert "not equal, for example: " in result.stdout
    assert "-> default/web" in result.stdout
    assert "80/TCP, ingress" in result.stdout
    assert "by the book: ingress allow: allowed by web, <stdin>:15" in result.stdout
    assert "by the map:  ingress deny: no rule allows this" in result.stdout
    counterexample = json.loads(run("-o", "json").stdout)["counterexample"]
    assert (counterexample["oracle"]["verdict"], counterexample["map"]["verdict"]) == ("allow", "deny")


def test_bad_input_is_told_with_its_place() -> None:
    """A fault in a file is exit code 2 and nothing is proven."""
    result = run(text=FILE.replace("ports:", "port:"))
    assert result.exit_code == 2
    assert "<stdin>:15:" in result.stderr


def test_the_document_shows_what_is_printed() -> None:
    """What docs/verify.md shows is what the command prints."""
    root = Path(__file__).parents[3]
    shown = (root / "docs" / "verify.md").read_text()
    result = CliRunner().invoke(cli, ["policy", "verify", str(root / "examples" / "three-tiers.yaml")])
    assert f"$ ringfence policy verify examples/three-tiers.yaml\n{result.stdout}```" in shown


def test_what_is_passed_over_is_told() -> None:
    """Documents of other kinds are one line on stderr."""
    assert "passed over: 1 ConfigMap" in run().stderr
