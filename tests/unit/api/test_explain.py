from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from ringfence.api.client import Client
from ringfence.cli.main import cli
from ringfence.errors import BadInput, NotFound
from tests.unit.api.running import Running

POLICY = """apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: backend}
spec:
  endpointSelector: {matchLabels: {app: backend}}
  ingress:
  - fromEndpoints:
    - matchLabels: {app: frontend}
    toPorts: [{ports: [{port: http, protocol: TCP}]}]
  - fromCIDR: [192.0.2.0/24]
"""


@pytest.fixture
def client(agent: Running) -> Iterator[Client]:
    with Client(str(agent.socket)) as found:
        found.put_endpoint("default/frontend", netns="1", labels=["app=frontend"])
        found.put_endpoint("default/backend", netns="2", labels=["app=backend"], ports=["http=8080/TCP"])
        found.apply_policies([("backend.yaml", POLICY)])
        yield found


def run(agent: Running, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["--socket", str(agent.socket), "explain", *arguments], input=text)


def test_the_live_state_is_explained(agent: Running, client: Client) -> None:
    """Without files the agent is asked: its policies, its endpoints, and the identities that the kernel knows."""
    result = run(agent, "--from", "frontend", "--to", "default/backend", "--port", "8081/TCP", "-o", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert ("deny", "backend.yaml:7") == (found["verdict"], found["rule"]["origin"])
    assert found["near_misses"][0]["text"].startswith(
        "port 8081, the rule allows the port named http, which is 8080/TCP"
    )
    backend = found["chain"][1]["subject"]
    assert ("10.0.0.2/32", client.endpoint("default/backend")["identity"]) == (backend["prefix"], backend["identity"])


def test_a_line_of_the_live_flows_is_explained(agent: Running, client: Client) -> None:
    """Ends of a pasted line are found by their addresses; an address outside by the prefix that policies know."""
    line = (
        "2026-01-02T03:04:05Z ALLOW 192.0.2.7:4000 16777217 (cidr:192.0.2.0/24,reserved:world) -> "
        "10.0.0.2:80 300 (k8s:app=backend) 80/TCP ingress forwarded; x"
    )
    found = json.loads(run(agent, "-o", "json", text=line).stdout)
    assert ("allow", "default/backend", "192.0.2.7") == (found["verdict"], found["to"], found["from"])
    assert "192.0.2.0/24" == found["chain"][0]["peer"]["prefix"]
    assert client.identity(found["chain"][0]["peer"]["identity"])["labels"][0] == "cidr:192.0.2.0/24"


def test_what_is_not_there_is_refused(agent: Running, client: Client) -> None:
    """An unknown workload is not found, with the one that was meant; what is no port or address is bad input."""
    result = run(agent, "--from", "default/fronted", "--to", "backend", "--port", "80/TCP")
    assert (4, True) == (result.exit_code, "did you mean default/frontend?" in result.stderr)
    with pytest.raises(NotFound):
        client.explain({"source": {"name": "x"}, "destination": {"name": "default/backend"}, "port": "80/TCP"})
    with pytest.raises(BadInput):
        client.explain({"source": {"name": "", "address": "1.2.3"}, "destination": {"name": "host"}, "port": "80/TCP"})


def test_entries_set_by_hand_are_told_of(agent: Running, client: Client) -> None:
    """What somebody set by hand no policy explains: that it is there is said."""
    number = client.endpoint("default/backend")["identity"]
    client.set_entry({"subject": number, "direction": "ingress", "action": "allow"})
    told = run(agent, "--from", "default/frontend", "--to", "default/backend", "--port", "81/TCP").stdout
    assert "1 entries set by hand" in told
