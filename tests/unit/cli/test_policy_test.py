from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
---
"""
POLICY = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "80", protocol: TCP}]}]
---
"""


def cases(verdict: str) -> str:
    return f"""
apiVersion: ringfence.io/v1
kind: PolicyTest
metadata: {{name: t}}
cases:
- {{from: client, to: web, port: 80/TCP, expect: allow, by: web}}
- {{from: client, to: web, port: 81/TCP, expect: {verdict}}}
"""


def run(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["policy", "test", *map(str, arguments)], input=text)


@pytest.mark.parametrize("judge", ["oracle", "map"])
def test_cases_that_hold(judge: str) -> None:
    """Cases that hold are counted, and the exit code is 0."""
    result = run("-", "--judge", judge, "-o", "json", text=PODS + POLICY + cases("deny"))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"cases": 2, "passed": 2, "failed": []}


def test_a_case_that_fails_says_why() -> None:
    """A failed case is exit code 1, told with its place, what was expected and found, and the rule that decided."""
    result = run("-", text=PODS + POLICY + cases("allow"))
    assert result.exit_code == 1
    first, *told = result.stdout.splitlines()
    assert first.startswith("<stdin>:")
    assert "default/client -> default/web 81/TCP: expected allow, found deny" in first
    assert any("isolated by" in line for line in told)
    assert told[-1] == "1 of 2 passed"
    failed = json.loads(run("-", "-o", "json", text=PODS + POLICY + cases("allow")).stdout)["failed"]
    assert [(case["port"], case["expect"], case["verdict"]) for case in failed] == [("81/TCP", "allow", "deny")]


def test_cases_stand_beside_policies_in_files_of_their_own(tmp_path: Path) -> None:
    """Files without cases belong to every file with cases; files with cases do not see each other."""
    (tmp_path / "policy.yaml").write_text(PODS + POLICY)
    (tmp_path / "one.yaml").write_text(cases("deny"))
    (tmp_path / "two.yaml").write_text(cases("deny"))
    assert "4 of 4 passed" in run(tmp_path).stdout
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("a", "b"):
        (alone / f"{name}.yaml").write_text(PODS + POLICY + cases("deny"))
    assert "4 of 4 passed" in run(alone).stdout


def test_the_problems_of_all_files_are_told(tmp_path: Path) -> None:
    """Bad input in two files is told for both, with exit code 2."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("kind: CiliumNetworkPolicy\nspecs: 3\n")
    result = run(tmp_path)
    assert result.exit_code == 2
    assert {line.split(":")[0] for line in result.stderr.splitlines()} == {f"{tmp_path}/{n}.yaml" for n in ("a", "b")}
