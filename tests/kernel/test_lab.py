from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli
from ringfence.errors import RingfenceError, Unavailable
from ringfence.lab import laboratory, namespaces, processes
from ringfence.lab.plan import plan
from ringfence.policy.evaluate import evaluate
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.world import World, build_world
from ringfence.traffic import parse_traffic

INSTANCE = f"k{os.getpid()}-lab"  # of this run alone
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: blue}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, ports: [{containerPort: 80}, {containerPort: 53, protocol: UDP}]}]}
status: {podIP: 10.3.0.1, podIPs: [{ip: 10.3.0.1}, {ip: "fd00:3::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {containers: [{name: c, ports: [{containerPort: 8080}]}]}
status: {podIP: 10.3.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: six, namespace: shop, labels: {app: six}}
spec: {containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 9, protocol: SCTP}]}]}
status: {podIP: "fd00:3::3"}
---
apiVersion: v1
kind: Pod
metadata: {name: outside, namespace: other, labels: {app: client}}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "79", endPort: 81, protocol: TCP}, {port: "53", protocol: UDP}]}]
  - fromEndpoints: [{matchLabels: {app: six}}]
    icmps: [{fields: [{type: EchoRequest, family: IPv6}]}]
  ingressDeny:
  - toPorts: [{ports: [{port: "81", protocol: TCP}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: six, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: six}}
  egress:
  - toEndpoints: [{matchLabels: {app: web}}]
"""


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    laboratory.down(INSTANCE)
    yield
    laboratory.down(INSTANCE)
    assert namespaces.named(f"rf-{INSTANCE}.") == []


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--instance", INSTANCE, *arguments])


def probes(*arguments: str) -> list[dict[str, object]]:
    result = run("lab", "probe", *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)["probes"]
    return found


def world_of(texts: Sequence[tuple[str, str]]) -> World:
    """The manifests' world, its pods at the addresses that the lab gives them."""
    parsed = parse_documents(Source(name, text) for name, text in texts)
    wires = {pod.name: pod.wire for pod in plan(INSTANCE, texts).pods}
    pods = (replace(pod, addresses=wires[pod.path].addresses) for pod in parsed.pods if pod.path in wires)
    return build_world(replace(parsed, pods=tuple(pods)))


def disagreements(texts: Sequence[tuple[str, str]], found: list[dict[str, object]]) -> list[str]:
    world = world_of(texts)
    wrong = []
    for probe in found:
        source, destination, port = (str(probe[name]) for name in ("from", "to", "port"))
        try:
            by_the_book = evaluate(world, world.actors[source], world.actors[destination], parse_traffic(port))
        except ValueError:
            allowed, told = False, "no common family"
        else:
            allowed, told = by_the_book.allowed, str(by_the_book)
        if probe["got_through"] is not allowed:
            wrong.append(f"{source} -> {destination} {port}: got through: {probe['got_through']}; oracle: {told}")
    return wrong


SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec:
  clusterIPs: [10.96.3.1, "fd96:3::1"]
  selector: {app: web}
  ports: [{port: 8000, targetPort: 80}, {name: closed, port: 8001, targetPort: 81}]
"""


def test_a_service_is_probed_by_its_own_address(tmp_path: Path) -> None:
    """A service of the manifests is there, each of its ports is as open as its backend's, and no other port is."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP + SERVICE)
    assert run("lab", "up", str(file)).exit_code == 0
    found = probes("--to", "service/shop/front", "--from", "shop/client")
    assert {(each["port"], each["got_through"]) for each in found} == {("8000/TCP", True), ("8001/TCP", False)}
    assert {each["to"] for each in found} == {"service/shop/front"}
    assert {each["got_through"] for each in probes("--to", "service/shop/front", "--port", "80/TCP")} == {False}
    unknown = run("lab", "probe", "--to", "service/shop/back")
    assert (unknown.exit_code, unknown.stderr) == (4, "there is no service shop/back; there are shop/front\n")


def test_the_matrix_agrees_with_the_oracle(tmp_path: Path) -> None:
    """What gets through between pods is what the rules say by the book: both families, TCP, UDP, ICMP and a deny."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    up = run("lab", "up", str(file))
    assert up.exit_code == 0, up.output
    found = probes()
    assert [probe for probe in found if probe["got_through"]]
    assert [probe for probe in found if not probe["got_through"]]
    texts = [(str(file), SHOP)]
    assert disagreements(texts, found) == []
    assert disagreements(texts, probes("--port", "81/TCP") + probes("--port", "79/TCP")) == []
    assert run("lab", "down").exit_code == 0
    assert not processes.directory(INSTANCE).exists()
    assert not (laboratory.PINS / INSTANCE).exists()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_examples_agree_with_the_oracle(file: Path) -> None:
    """For every example policy the matrix of a lab is what the oracle says."""
    texts = [(file.name, file.read_text())]
    assert parse_documents(Source(*text) for text in texts).pods, "an example without pods makes no lab"
    up = run("lab", "up", str(file))
    assert up.exit_code == 0, up.output
    assert disagreements(texts, probes()) == []


def test_probing_a_port_that_nobody_serves(tmp_path: Path) -> None:
    """A probe of a port without a server tells about policy: one is started for as long as the probe lasts."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    assert run("lab", "up", str(file)).exit_code == 0
    [unserved] = probes("--from", "shop/web", "--to", "shop/client", "--port", "1234/TCP")
    assert unserved == {"from": "shop/web", "to": "shop/client", "port": "1234/TCP", "got_through": True}
    [denied] = probes("--from", "shop/client", "--to", "shop/web", "--port", "1234/UDP")
    assert denied["got_through"] is False


def test_what_cannot_be_probed_is_said(tmp_path: Path) -> None:
    """SCTP has no sockets here, a pod may not exist, and of ICMP only echo is answered: each has its exit code."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    for arguments, code in ((["--port", "9/SCTP"], 3), (["--from", "shop/nobody"], 4), (["--port", "3/ICMP"], 2)):
        result = run("lab", "probe", str(file), *arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1), result.output
    assert run("lab", "probe").exit_code == 4


def test_a_lab_that_fails_to_start_leaves_nothing(tmp_path: Path) -> None:
    """When a policy is refused the namespaces, processes and pins made so far are removed again."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    laid_out = plan(INSTANCE, [("shop.yaml", SHOP)])
    with pytest.raises(RingfenceError):
        laboratory.up(laid_out, [("bad.yaml", "kind: Nonsense\n")], lambda _: None)
    assert namespaces.named(f"rf-{INSTANCE}.") == []
    assert not processes.directory(INSTANCE).exists()
    assert not (laboratory.PINS / INSTANCE).exists()


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    """`lab up` removes what is left of an earlier lab of its name, whose processes were killed."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    assert run("lab", "up", str(file)).exit_code == 0
    for role in ("agent", "servers"):
        pid = processes.running(INSTANCE, role)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert processes.running(INSTANCE, role) is None
    assert run("lab", "up", str(file)).exit_code == 0
    assert processes.running(INSTANCE, "agent") is not None


def test_a_pid_of_another_process_is_not_touched() -> None:
    """A number that the kernel has given to another process since is never signalled."""
    directory = processes.directory(INSTANCE)
    directory.mkdir(parents=True)
    (directory / "agent.pid").write_text(f"{os.getpid()} 1\n")
    assert processes.running(INSTANCE, "agent") is None
    laboratory.down(INSTANCE)


def test_an_agent_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the agent said before it ended is the error, and its exit code says whether something is missing."""
    monkeypatch.setattr(processes, "_ended", lambda *_: True)
    laid_out = plan(INSTANCE, [("shop.yaml", SHOP)])
    namespaces.create(laid_out.node)
    program = "import sys; print('no BPF here'); sys.exit(3)"
    pid = processes.start(INSTANCE, "agent", ["-c", program], laid_out.node)
    with pytest.raises(Unavailable, match="no BPF here"):
        processes.wait_or_fail(INSTANCE, "agent", pid, 0)
