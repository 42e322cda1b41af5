"""Scripts of events: what every engine test is made of."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from ringfence.engine.commands import Attach, ClearEndpoint, Command, Commit, Detach, Remember, WriteEndpoint
from ringfence.engine.engine import Engine
from ringfence.engine.events import Event, PoliciesApplied, Restored, Workload
from ringfence.labels import Labels, workload_labels
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Policy

WEB = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "80", protocol: TCP}]}]
"""
OUTSIDE = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: outside, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.128/25]}]
"""


def policies(*texts: str) -> tuple[Policy, ...]:
    """Policies from manifests; the nth file is called <n>.yaml."""
    return parse_documents(Source(f"{number}.yaml", text) for number, text in enumerate(texts)).policies


def workload(name: str, app: str, address: str, ifindex: int) -> Workload:
    """A workload with one label and one address."""
    labels = workload_labels(Labels.parse([f"app={app}"]))
    return Workload(name, labels, (ip_address(address),), ifindex, bytes([2, 0, 0, 0, 0, ifindex]), bytes(6))


def started(*texts: str) -> Engine:
    """An engine that is past its first commit, with these policies in force."""
    engine = Engine()
    engine.handle(Restored())
    engine.done()
    if texts:
        run(engine, PoliciesApplied(policies(*texts)))
    return engine


def run(engine: Engine, *events: Event) -> list[Command]:
    """Let events happen one by one and be carried out; the commands of all, without what is remembered."""
    commands: list[Command] = []
    for event in events:
        commands += [command for command in engine.handle(event) if not isinstance(command, Remember)]
        engine.done()
    return commands


def outline(commands: Sequence[Command]) -> list[str]:
    """Commands by their kind and what they are about, in order."""
    return [_line(command) for command in commands if not isinstance(command, Remember)]


def _line(command: Command) -> str:
    match command:
        case Commit():
            written = sum(1 for number in command.policy.values() if number)
            peers = sum(1 for peer in command.peers.values() if peer)
            return f"commit +{written} -{len(command.policy) - written} prefixes +{peers} -{len(command.peers) - peers}"
        case WriteEndpoint():
            return f"write {command.row} at {command.ifindex}"
        case ClearEndpoint():
            return f"clear {command.row}"
        case Attach():
            return f"attach {command.ifindex}"
        case Detach():
            return f"detach {command.ifindex}"
    return "remember"
