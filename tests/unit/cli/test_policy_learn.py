from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from ringfence.cli.main import cli


def flow(source: str, destination: str, port: int, *, reply: bool = False) -> str:
    def end(name: str) -> dict[str, Any]:
        labels = [f"k8s:app={name}", "k8s:io.kubernetes.pod.namespace=shop"]
        return {"labels": labels, "namespace": "shop", "pod_name": f"{name}-1"}

    addresses = {"source": f"10.0.0.{len(source)}", "destination": f"10.0.0.{len(destination)}"}
    ports = {"source_port": 40000, "destination_port": port}
    document = {
        "verdict": "FORWARDED", "IP": addresses, "l4": {"TCP": ports}, "is_reply": reply,
        "source": end(source), "destination": end(destination),
    }  # fmt: skip
    return json.dumps({"flow": document})


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    file = tmp_path / "flows.json"
    lines = [flow("front", "back", 8080), flow("back", "front", 40000, reply=True), flow("front", "dns", 53)]
    file.write_text("\n".join(lines))
    return file


def run(*arguments: object, text: str = "") -> Result:
    return CliRunner().invoke(cli, ["policy", "learn", *map(str, arguments)], input=text)


@pytest.mark.parametrize("kind", ["CiliumNetworkPolicy", "NetworkPolicy"])
def test_what_is_learned_passes_check(flows: Path, tmp_path: Path, kind: str) -> None:
    """The YAML is manifests that `policy check` accepts, of the kind asked for; exit code 0."""
    result = run("--flows", flows, "--kind", kind)
    assert result.exit_code == 0, result.output
    assert {each["kind"] for each in yaml.safe_load_all(result.stdout) if each} == {kind}
    assert "flows passed over: 1 reply" in result.stderr
    learned = tmp_path / "learned.yaml"
    learned.write_text(result.stdout)
    checked = CliRunner().invoke(cli, ["policy", "check", str(learned)])
    assert checked.exit_code == 0, checked.output
    assert "0 errors" in checked.stdout


def test_json_has_policies_rules_and_proof(flows: Path) -> None:
    """Programs get the manifests, what each rule is for, and the proof."""
    told = json.loads(run("--flows", flows, "-o", "json").stdout)
    assert told["proof"]["sufficient"] is True
    assert told["proof"]["minimal"] is True
    assert told["passed_over"] == {"reply": 1}
    assert len(told["policies"]) == 3
    ingress = next(each for each in told["rules"] if each["policy"].endswith("/back"))
    assert ingress["direction"] == "ingress"
    [reason] = ingress["needed_by"]
    assert reason == {"connection": "shop/front-1 -> shop/back-1 8080/TCP", "flows": 1, "first": f"{flows}:1"}


def test_drift_is_what_the_learned_set_does_not_cover(flows: Path, tmp_path: Path) -> None:
    """Two recordings: exit code 0 if the second holds nothing new, 1 with each new connection and its place."""
    later = tmp_path / "later.json"
    assert run("--flows", flows, "--drift", flows).exit_code == 0
    later.write_text("\n".join([flow("front", "back", 8080), *[flow("back", "dns", 53)] * 2]))
    result = run("--flows", flows, "--drift", later)
    assert result.exit_code == 1
    [line] = result.stdout.splitlines()
    assert line.startswith(f"{later}:2: shop/back-1 -> shop/dns-1 53/TCP: ")
    assert "2 connections, 1 not covered" in result.stderr
    told = json.loads(run("--flows", flows, "--drift", later, "-o", "json").stdout)
    assert (told["from"], told["to"], told["port"]) == ("shop/back-1", "shop/dns-1", "53/TCP")


def test_drift_from_the_current_policies(flows: Path, tmp_path: Path) -> None:
    """With `--current` it is the policies of the files that are compared."""
    policies = tmp_path / "policies.yaml"
    policies.write_text(run("--flows", flows).stdout)
    assert run("--current", "--drift", flows, policies).exit_code == 0
    text = flow("front", "back", 9090)
    result = run("--current", "--drift", "-", policies, text=text)
    assert result.exit_code == 1
    assert result.stdout.startswith("<stdin>:1: shop/front-1 -> shop/back-1 9090/TCP: egress deny")


def test_nothing_but_replies_teaches_nothing() -> None:
    """No flow, no policy, and a word about it."""
    result = run("--flows", "-", text=flow("front", "back", 80, reply=True))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "no flow to learn from" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--flows FILE, or --since TIME"),
        (("--flows", "-", "--since", "1h"), "--flows FILE, or --since TIME"),
        (("--current",), "--current needs --drift FILE or --watch"),
        (("--current", "--flows", "-", "--drift", "-"), "--current compares with the policies of files"),
        (("--flows", "-", "--watch", "--drift", "-"), "--drift and --watch exclude each other"),
        (("--flows", "/nowhere/flows"), "/nowhere/flows:1:1: No such file or directory; expected a readable"),
        (("--flows", "-", "--by", "controller-revision-hash"), "--by controller-revision-hash"),
    ],
)
def test_bad_questions_are_refused(arguments: tuple[str, ...], told: str) -> None:
    """Each with what was expected, exit code 2 and nothing on the standard output."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""
