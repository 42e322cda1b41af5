"""`ringfence policy diff`: what opens and closes is told by groups, ports and rules, and by the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli

WORKLOADS = """
apiVersion: v1
kind: Pod
metadata: {name: frontend, namespace: shop, labels: {app: frontend}}
---
apiVersion: v1
kind: Pod
metadata: {name: backend, namespace: shop, labels: {app: backend}}
---
apiVersion: v1
kind: Pod
metadata: {name: cron, namespace: shop, labels: {app: cron}}
---
"""
POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: backend, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: backend}}}}
  ingress:
  - from: [{{podSelector: {{matchLabels: {{app: {peer}}}}}}}]
    ports: [{{port: {port}}}]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pods.yaml").write_text(WORKLOADS)
    (tmp_path / "old.yaml").write_text(POLICY.format(peer="frontend", port=8080))
    return tmp_path


def diff(here: Path, new: str, *arguments: str) -> Result:
    (here / "new.yaml").write_text(new)
    return CliRunner().invoke(cli, ["policy", "diff", "old.yaml", "new.yaml", "--with", "pods.yaml", *arguments])


def test_what_opens_and_closes_is_told_with_the_rule(here: Path) -> None:
    """Another port is one path that opens and one that closes; exit code 7 says both."""
    result = diff(here, POLICY.format(peer="frontend", port=8081))
    assert result.exit_code == 7
    assert result.stdout.splitlines() == [
        "opens  shop/app=frontend -> shop/app=backend: 8081/TCP",
        "       allowed by backend, new.yaml:7",
        "closes shop/app=frontend -> shop/app=backend: 8080/TCP",
        "       no rule allows this; isolated by new.yaml:7",
        "opens 1 path; closes 1 path",
    ]


def test_text_that_changes_nothing_is_no_difference(here: Path) -> None:
    """Lines that moved and a name that changed let the same through: exit code 0."""
    result = diff(here, "# moved\n\n" + POLICY.format(peer="frontend", port=8080).replace("name: backend,", "name: b,"))
    assert (result.exit_code, result.stdout) == (0, "nothing changes: both let the same through\n")


def test_opening_and_closing_alone_have_codes_of_their_own(here: Path) -> None:
    """5 where something opens, 6 where something closes."""
    both = POLICY.format(peer="frontend", port=8080) + "---\n"
    more = both + POLICY.format(peer="cron", port=8080).replace("name: backend,", "name: cron,")
    assert diff(here, more).exit_code == 5
    assert diff(here, POLICY.format(peer="nobody", port=8080)).exit_code == 7
    (here / "old.yaml").write_text(more)
    assert diff(here, both).exit_code == 6


def test_without_any_policy_everything_opens(here: Path) -> None:
    """Whoever was kept out comes in on everything, told as one change for all that are alike."""
    result = diff(here, "")
    assert result.exit_code == 5
    assert "shop/app=cron" in result.stdout
    assert "-> shop/app=backend: everything" in result.stdout
    assert "allowed by default: no policy isolates it" in result.stdout


def test_json_has_all_of_it(here: Path) -> None:
    """Groups with their labels, ports as people write them, the rule with its place."""
    [opens, closes] = json.loads(diff(here, POLICY.format(peer="frontend", port=8081), "-o", "json").stdout)["changes"]
    assert (opens["change"], closes["change"]) == ("opens", "closes")
    assert opens["ports"] == ["8081/TCP"]
    assert opens["rule"]["origin"] == "new.yaml:7"
    assert "k8s:app=frontend" in opens["sources"][0]["labels"]
    assert opens["flows"] is None


def test_a_pull_request_gets_notes_at_the_lines(here: Path) -> None:
    """As GitHub's workflows read them, and as a table of markdown."""
    new = POLICY.format(peer="frontend", port=8081)
    assert diff(here, new, "-o", "github").stdout.splitlines()[0] == (
        "::warning file=new.yaml,line=7::opens shop/app=frontend -> shop/app=backend: 8081/TCP"
    )
    told = diff(here, new, "-o", "markdown").stdout
    assert told.startswith("**Policies:** opens 1 path; closes 1 path\n\n| | from | to | ports | rule |\n")


def test_changes_are_weighed_by_what_was_seen(here: Path) -> None:
    """A recorded flow counts for the change that it is of, and a line that is no flow is an error with its place."""
    names = ("app=frontend", "app=backend")
    labels = [[f"k8s:{each}", "k8s:io.kubernetes.pod.namespace=shop"] for each in names]
    ends = [{"endpoint": "", "address": f"10.0.0.{n}", "labels": labels[n], "port": 40000} for n in (0, 1)]
    flow = json.dumps({"source": ends[0], "destination": ends[1], "port": "8080/TCP"})
    (here / "flows.jsonl").write_text(f"{flow}\n{flow}\n")
    result = diff(here, POLICY.format(peer="frontend", port=8081), "--flows", "flows.jsonl")
    assert result.stdout.splitlines()[-1] == "opens 1 path never used; closes 1 path used 2 times"
    (here / "flows.jsonl").write_text(f"{flow}\nnonsense\n")
    wrong = diff(here, POLICY.format(peer="frontend", port=8081), "--flows", "flows.jsonl")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("flows.jsonl:2:1: no flow in what was given")


def test_bad_input_names_its_place(here: Path) -> None:
    """As everywhere: file, line and what was expected; exit code 2."""
    result = diff(here, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {no: 1}\n")
    assert result.exit_code == 2
    assert "new.yaml:4" in result.stderr
