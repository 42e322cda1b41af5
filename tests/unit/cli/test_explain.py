from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli

WORLD = """apiVersion: v1
kind: Pod
metadata: {name: frontend, namespace: shop, labels: {app: frontend}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: backend, namespace: shop, labels: {app: backend}}
status: {podIP: 10.0.0.2}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: backend, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: backend}}
  ingress:
  - fromEndpoints:
    - matchLabels: {app: frontend}
    toPorts: [{ports: [{port: "8080", protocol: TCP}]}]
  - fromCIDR: [192.0.2.0/24]
"""
FLOW = ("--from", "shop/frontend", "--to", "shop/backend", "--port")
LABELS = "k8s:app={0},k8s:io.kubernetes.pod.namespace=shop"
MONITORED = (
    f"2026-01-02T03:04:05.000006Z DENY  10.0.0.1:45678 300 ({LABELS.format('frontend')}) -> "
    f"10.0.0.2:8081 301 ({LABELS.format('backend')}) 8081/TCP ingress policy denied; no rule allows this"
)
COMPACT = (
    "Jan  2 03:04:05.000: shop/frontend:45678 (ID:300) <> shop/backend:8081 (ID:301) "
    "policy-verdict:none INGRESS DENIED BY backend (CiliumNetworkPolicy) world.yaml:17 (TCP Flags: SYN)"
)
EVENT = {
    "source": {"endpoint": "shop/frontend", "address": "10.0.0.1", "port": 45678, "labels": [], "identity": 300},
    "destination": {"endpoint": "shop/backend", "address": "10.0.0.2", "port": 8081, "labels": [], "identity": 301},
    "port": "8081/TCP",
}
HUBBLE = {
    "flow": {
        "IP": {"source": "10.0.0.1", "destination": "10.0.0.2"},
        "l4": {"TCP": {"source_port": 45678, "destination_port": 8081}},
        "source": {"namespace": "shop", "pod_name": "frontend", "labels": []},
        "destination": {"namespace": "shop", "pod_name": "backend", "labels": []},
    }
}


@pytest.fixture
def world(tmp_path: Path) -> str:
    path = tmp_path / "world.yaml"
    path.write_text(WORLD)
    return str(path)


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["explain", *arguments], input=text)


def test_a_denial_names_its_line_and_the_nearest_miss_first(world: str) -> None:
    """The document has verdict, rule, both directions and near misses, each with its rule; the exit code is 0."""
    result = run(*FLOW, "8081/TCP", "-o", "json", world)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["verdict"], found["rule"]["origin"]) == ("deny", f"{world}:17")
    assert "- fromEndpoints:" == found["rule"]["lines"][0]["text"]
    assert ["egress", "ingress"] == [side["direction"] for side in found["chain"]]
    first = found["near_misses"][0]
    assert ("port 8081, the rule allows 8080", f"{world}:17") == (first["text"], first["rule"]["origin"])


def test_an_allowance_names_every_rule_that_allows_alone(world: str) -> None:
    """An allowed flow has no near misses, and the rules that would do on their own."""
    found = json.loads(run(*FLOW, "8080/TCP", "-o", "json", world).stdout)
    assert ("allow", f"{world}:17", []) == (found["verdict"], found["rule"]["origin"], found["near_misses"])
    assert [f"{world}:17"] == [rule["origin"] for rule in found["chain"][1]["allowed_by"]]


def test_text_begins_with_the_verdict_and_shows_the_lines(world: str) -> None:
    """People read the verdict, then the rule with its lines of YAML, then what nearly allowed it."""
    lines = run(*FLOW, "8081/TCP", world).stdout.splitlines()
    assert lines[0] == "DENIED  shop/frontend -> shop/backend 8081/TCP"
    assert any("17 | - fromEndpoints:" in line for line in lines)
    assert "  1. port 8081, the rule allows 8080" in lines


@pytest.mark.parametrize("pasted", [MONITORED, COMPACT, json.dumps(EVENT), json.dumps(HUBBLE)])
def test_a_pasted_flow_asks_the_same(world: str, pasted: str) -> None:
    """A line or document of monitor and observe stands for --from, --to and --port, as argument or standard input."""
    told = run(*FLOW, "8081/TCP", "--source-port", "45678", world).stdout
    assert told == run(pasted, world).stdout
    assert told == run(world, text=f"Listening for verdicts\n{pasted}\n").stdout


def test_an_unknown_workload_is_exit_code_4_with_a_hint(world: str) -> None:
    """A misspelt name is told with the name that was meant."""
    result = run("--from", "shop/frontnd", "--to", "shop/backend", "--port", "80/TCP", world)
    assert (4, "there is no workload shop/frontnd; did you mean shop/frontend?\n") == (result.exit_code, result.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "shop/frontend"),
        (*FLOW, "8080"),
        (*FLOW, "any/TCP"),
        (*FLOW, "echo-request/ICMPv6"),
        ("--from", "10.0.0.0/33", "--to", "shop/backend", "--port", "80/TCP"),
        ("a line of something else",),
    ],
)
def test_what_cannot_be_asked_is_exit_code_2(world: str, arguments: tuple[str, ...]) -> None:
    """A flow that is not whole, or of no meaning, is bad input, told in one line."""
    result = run(*arguments, world)
    assert (2, 1) == (result.exit_code, len(result.stderr.splitlines()))


@pytest.mark.parametrize(("end", "verdict"), [("192.0.2.0/24", "allow"), ("198.51.100.1", "deny"), ("world", "deny")])
def test_an_end_may_be_outside(world: str, end: str, verdict: str) -> None:
    """Addresses, prefixes and entities are ends like workloads."""
    result = run("--from", end, "--to", "shop/backend", "--port", "80/TCP", "-o", "json", world)
    assert verdict == json.loads(result.stdout)["verdict"]
