"""`ringfence policy replay`: what proposed policies would have decided otherwise, told by groups, times and rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli
from tests.unit.cli.test_policy_diff import POLICY, WORKLOADS

DENIED = {
    "policy": "NetworkPolicy/shop/b",
    "text": "no rule allows this; isolated by was.yaml:7",
    "origin": "was.yaml:7",
}
ALLOWED = {"policy": "NetworkPolicy/shop/b", "text": "allowed by b, was.yaml:7", "origin": "was.yaml:7"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pods.yaml").write_text(WORKLOADS)
    (tmp_path / "new.yaml").write_text(POLICY.format(peer="frontend", port=8080))
    return tmp_path


def end(name: str, labels: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - whether it has its labels
    told = [f"k8s:app={name}", "k8s:io.kubernetes.pod.namespace=shop"] if labels else []
    number = sum(map(ord, name)) % 250
    return {"identity": 300, "endpoint": f"shop/{name}", "address": f"10.0.0.{number}", "labels": told, "port": 40000}


def flow(source: str, port: str = "8080/TCP", minute: int = 0, **given: Any) -> dict[str, Any]:
    verdict = {"verdict": "allow", "reason": "forwarded", "direction": "ingress", "status": "new"}
    default = {"policy": "", "text": "allowed by default: no policy isolates it", "origin": ""}
    return {
        "time": f"2026-11-26T10:{minute:02}:00.000000Z",
        "source": end(source),
        "destination": end("backend"),
        "port": port,
        **verdict,
        "rules": {"egress": default, "ingress": ALLOWED},
        **given,
    }


def denied(source: str, port: str = "8080/TCP", **given: Any) -> dict[str, Any]:
    rules = {"egress": None, "ingress": DENIED}
    return flow(source, port, verdict="deny", reason="policy denied", rules=rules, **given)


def replay(flows: list[dict[str, Any]], *arguments: str) -> Result:
    Path("flows.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in flows))
    return CliRunner().invoke(cli, ["policy", "replay", "new.yaml", "pods.yaml", "--flows", "flows.jsonl", *arguments])


def test_what_would_be_denied_is_told_with_times_and_both_rules() -> None:
    """A path that was used and would be closed: groups, port, how often and when, who, the old and the new rule."""
    result = replay([flow("cron", minute=5), flow("cron", minute=1), flow("cron", minute=9), flow("frontend")])
    assert result.exit_code == 6
    assert result.stdout.splitlines() == [
        "closes shop/app=cron -> shop/app=backend 8080/TCP: allowed -> denied at ingress",
        "       3 flows, 2026-11-26T10:01:00.000000Z to 2026-11-26T10:09:00.000000Z",
        "       shop/cron -> shop/backend",
        "       was: allowed by b, was.yaml:7",
        "       now: no rule allows this; isolated by new.yaml:7",
        "3 flows would be denied, of 4 flows of 2 connections",
    ]


def test_exit_codes_say_what_kind_of_change_there_is() -> None:
    """As for diff: 0 nothing, 5 something opens, 6 something closes, 7 both."""
    same, opens, closes = flow("frontend"), denied("frontend"), flow("cron")
    assert [replay(each).exit_code for each in ([same], [opens], [closes], [opens, closes])] == [0, 5, 6, 7]


def test_a_reply_is_not_judged_as_a_connection() -> None:
    """What comes back from the backend to cron's port would be denied as a connection; as a reply it is none."""
    back = {**flow("backend", "8080/TCP", status="reply"), "source": end("backend"), "destination": end("cron")}
    result = replay([back])
    assert result.exit_code == 0
    assert result.stdout == "nothing changes, of 0 flows of 0 connections\n"
    assert "flows not judged: 1 reply" in result.stderr


def test_workloads_that_the_set_does_not_know_are_counted_and_named() -> None:
    """With recorded labels they are judged by them; without any labels they are not judged, and never the world."""
    stranger, nobody = flow("elsewhere"), {**flow("ghost"), "source": end("ghost", labels=False)}
    result = replay([stranger, nobody, nobody], "-o", "json")
    told = json.loads(result.stdout)
    assert told["not_in_manifests"] == {"shop/elsewhere": 1}
    assert told["not_judged"] == {"shop/ghost": 2}
    assert told["flows"] == {"judged": 1, "opened": 0, "closed": 1}
    assert "in no manifest of the set, not judged: shop/ghost (2 flows)" in result.stderr


def test_a_proposal_may_change_labels() -> None:
    """A workload that a manifest knows by name has the labels that stand there, not those it was recorded with."""
    relabelled = WORKLOADS.replace(
        "name: cron, namespace: shop, labels: {app: cron}", "name: cron, namespace: shop, labels: {app: frontend}"
    )
    Path("pods.yaml").write_text(relabelled)
    assert replay([flow("cron")]).exit_code == 0


def test_one_host_records_one_direction() -> None:
    """Where the other end's verdict was not recorded, it is said what was: allowed at egress, not allowed."""
    rules = {"egress": ALLOWED, "ingress": None}
    result = replay([flow("cron", rules=rules)])
    assert "8080/TCP: allowed at egress -> denied at ingress" in result.stdout


def test_with_old_policies_verdicts_are_theirs(here: Path) -> None:
    """--old puts the verdicts of another set in the place of the recorded ones."""
    (here / "old.yaml").write_text(POLICY.format(peer="cron", port=8080))
    result = replay([flow("cron"), flow("frontend")], "--old", "old.yaml", "-o", "json")
    changes = json.loads(result.stdout)["changes"]
    assert [(each["change"], each["source"]) for each in changes] == [
        ("closes", "shop/app=cron"),
        ("opens", "shop/app=frontend"),
    ]
    assert changes[1]["old_rules"][0]["origin"] == "old.yaml:7"


def test_flows_of_hubble_are_read() -> None:
    """The documents of observe -o json, with the policies that they name."""
    told = {
        name: {"labels": end(name)["labels"], "namespace": "shop", "pod_name": name} for name in ("cron", "backend")
    }
    document = {
        "time": "2026-11-26T10:00:00.000000Z",
        "verdict": "FORWARDED",
        "IP": {"source": "10.0.0.1", "destination": "10.0.0.2"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": 8080}},
        "source": told["cron"],
        "destination": told["backend"],
        "traffic_direction": "INGRESS",
        "is_reply": False,
        "ingress_allowed_by": [{"name": "b", "namespace": "shop", "labels": ["ringfence.io/origin=was.yaml:7"]}],
    }
    result = replay([{"flow": document, "time": document["time"]}])
    assert result.exit_code == 6
    assert "       was: allowed by b, was.yaml:7" in result.stdout.splitlines()


def test_markdown_and_bad_lines() -> None:
    """A table for a pull request; a line that is no flow is an error with its place."""
    told = replay([flow("cron")], "-o", "markdown").stdout
    assert told.startswith("**Replay:** 1 flow would be denied, of 1 flow of 1 connection\n\n| | from | to |")
    wrong = replay([flow("cron"), {"no": "flow"}])
    assert (wrong.exit_code, wrong.stderr.startswith("flows.jsonl:2:1: ")) == (2, True)
