from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from ringfence.api.client import Client
from ringfence.cli.main import cli
from tests.unit.api.running import Running
from tests.unit.engine.script import WEB

NAMED = WEB.replace('port: "80"', "port: http").replace("name: web,", "name: named,")
SPACE = """---
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {team: blue}}
"""


def table(agent: Running) -> Any:
    done = CliRunner().invoke(cli, ["--socket", str(agent.socket), "policy", "table", "-o", "json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)["cells"]


def test_the_live_set_is_asked_without_files(agent: Running) -> None:
    """Without files the agent's policies and endpoints are shown, with named ports and the labels of namespaces."""
    with Client(str(agent.socket)) as client:
        client.put_endpoint("default/web", netns="1", labels=["app=web"], ports=["http=8080/TCP"])
        client.put_endpoint("client", netns="2", labels=["app=client"])
        client.apply_policies([("named.yaml", SPACE + "---" + NAMED)])
        cells = table(agent)
        assert cells["default/app=client"]["default/app=web"] == "8080/TCP"
        assert cells["world"]["default/app=web"] == "-"
        client.delete_policies(["named"])
        assert {"all"} == set(table(agent)["world"].values())


SERVICES = """apiVersion: v1
kind: Service
metadata: {{name: out, labels: {{tier: data}}}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: out-1, labels: {{kubernetes.io/service-name: out}}}}
addressType: IPv4
endpoints: [{{addresses: [{}]}}]
"""
TO_SERVICES = """---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress: [{toServices: [{k8sServiceSelector: {selector: {matchLabels: {tier: data}}}}]}]
"""


def differing(agent: Running, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["--socket", str(agent.socket), "policy", "diff", *arguments])
    return done.exit_code, done.output


def test_what_would_be_applied_is_compared_with_what_is_in_force(agent: Running, tmp_path: Path) -> None:
    """With one side the other is the agent's: policies of the same uid are replaced, others stay, so do workloads."""
    new = tmp_path / "new.yaml"
    with Client(str(agent.socket)) as client:
        client.put_endpoint("default/web", netns="1", labels=["app=web"], ports=["http=8080/TCP"])
        client.put_endpoint("client", netns="2", labels=["app=client"])
        client.apply_policies([("web.yaml", WEB), ("named.yaml", NAMED)])
        new.write_text(WEB)
        assert (0, "nothing changes: both let the same through\n") == differing(agent, str(new))
        new.write_text(WEB.replace('port: "80"', 'port: "81"'))
        code, told = differing(agent, str(new))
        assert code == 7
        assert "opens  default/app=client -> default/app=web (http=8080/TCP): 81/TCP" in told
        assert "closes default/app=client -> default/app=web (http=8080/TCP): 80/TCP" in told
        assert "opens 1 path; closes 1 path" in told  # what `named` allows stays
        code, told = differing(agent, "one", "two", "three")
        assert (code, told.count("expected OLD and NEW")) == (2, 1)


def test_services_in_force_are_compared_too(agent: Running, tmp_path: Path) -> None:
    """The addresses that a service's slice has decide whom a policy that names it means; a slice is replaced whole."""
    new = tmp_path / "new.yaml"
    with Client(str(agent.socket)) as client:
        client.put_endpoint("client", netns="2", labels=["app=client"])
        client.apply_policies([("s.yaml", SERVICES.format("192.0.2.1") + TO_SERVICES)])
        new.write_text(SERVICES.format("192.0.2.1"))
        assert 0 == differing(agent, str(new))[0]
        new.write_text(SERVICES.format("192.0.2.2"))
        code, told = differing(agent, str(new))
        assert code == 7
        assert "opens  default/app=client -> 192.0.2.2/32: everything" in told
        assert "closes default/app=client -> 192.0.2.1/32: everything" in told


def test_where_nobody_answers_it_is_said(tmp_path: Path) -> None:
    """Without files and without an agent the exit code is 3, with how to start one."""
    done = CliRunner().invoke(cli, ["--socket", str(tmp_path / "none.sock"), "policy", "graph"])
    assert done.exit_code == 3
    assert "ringfence agent" in done.output
