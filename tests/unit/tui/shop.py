"""A small shop for dashboards: its flows, digests of them, and an agent that answers from a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

from ringfence.abi import Direction, PeerKind, Tier
from ringfence.agent.dry import traffic_text
from ringfence.agent.views import key_of
from ringfence.api import flow_shapes, shapes
from ringfence.errors import NotFound
from ringfence.flow.filter import FlowFilter
from ringfence.flow.query import FlowQuery
from tests.unit.cli.conftest import Answers

NAMESPACE = "k8s:io.kubernetes.pod.namespace=shop"
LABELS = {name: [f"k8s:app={name}", NAMESPACE] for name in ("web", "client", "guest")}
NUMBERS = {"web": 256, "client": 257, "guest": 258}
ADDRESSES = {"web": "10.0.0.1", "client": "10.0.0.2", "guest": "10.0.0.3"}
POLICY = "CiliumNetworkPolicy/shop/web"
TEXT = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "80", protocol: TCP}]}]
  ingressDeny:
  - toPorts: [{ports: [{port: "8080", protocol: TCP}]}]
"""
FIRST_LINE = 3  # of the document in its file
_RULES: dict[str, flow_shapes.DecidingRule] = {
    "allow": {"policy": POLICY, "text": "allowed by web, policies/web.yaml:9", "origin": "policies/web.yaml:9"},
    "deny": {"policy": POLICY, "text": "denied by web, policies/web.yaml:12", "origin": "policies/web.yaml:12"},
    "isolated": {
        "policy": POLICY,
        "text": "no rule allows this; isolated by policies/web.yaml:9",
        "origin": "policies/web.yaml:9",
    },
}
OPEN: flow_shapes.DecidingRule = {"policy": "", "text": "allowed by default: no policy isolates it", "origin": ""}
_REASONS = {"allow": "forwarded", "deny": "policy deny rule", "isolated": "policy denied"}
Decision = Literal["allow", "deny", "isolated"]


def party(name: str, port: int = 0) -> flow_shapes.Party:
    """An end; one that is no pod of the shop is an address of the world."""
    if name not in NUMBERS:
        return {"identity": 2, "labels": ["reserved:world"], "address": name, "port": port, "endpoint": None}
    identity, labels, address = NUMBERS[name], LABELS[name], ADDRESSES[name]
    return {"identity": identity, "labels": labels, "address": address, "port": port, "endpoint": f"shop/{name}"}


def flow(source: str, port: str, decision: Decision = "allow", /, **fields: Any) -> flow_shapes.FlowShape:
    """One verdict on what somebody sends to the web server."""
    number, _, protocol = port.partition("/")
    shape: dict[str, Any] = {
        "time": "2026-01-02T03:04:05.000006Z",
        "kind": "verdict",
        "source": party(source, 40000),
        "destination": party("web", int(number) if number.isdigit() else 0),
        "protocol": protocol,
        "port": port,
        "direction": "egress" if decision == "allow" else "ingress",
        "verdict": "allow" if decision == "allow" else "deny",
        "reason": _REASONS[decision],
        "rule": _RULES[decision],
        "rules": {"egress": OPEN, "ingress": _RULES[decision]},
        "match": "L3-L4" if decision == "allow" else "L4-Only" if decision == "deny" else "none",
        "revision": 7,
        "ifindex": 4,
        "length": 60,
        "packets": [1, 0],
        "bytes": [60, 0],
        "tcp_flags": "SYN",
        "status": "new",
        **fields,
    }
    found: Any = shape
    return found  # type: ignore[no-any-return] # of the shape that the caller asks for


def edge(flow: flow_shapes.FlowShape, events: int, packets: int = 0) -> flow_shapes.EdgeShape:
    """So many verdicts of one flow, which stand for so many packets."""
    return {"flow": flow, "events": events, "packets": packets, "bytes": packets * 60}


def digest(*edges: flow_shapes.EdgeShape, seconds: float = 0.5, **fields: Any) -> flow_shapes.DigestShape:
    """What happened in half a second."""
    shape: dict[str, Any] = {
        "time": "2026-01-02T03:04:05.500000Z",
        "seconds": seconds,
        "revision": 7,
        "events": sum(each["events"] for each in edges),
        "allowed": sum(each["events"] for each in edges if each["flow"]["verdict"] == "allow"),
        "denied": sum(max(each["events"], each["packets"]) for each in edges if each["flow"]["verdict"] == "deny"),
        "edges": list(edges),
        "edges_left_out": 0,
        "flows": [each["flow"] for each in edges],
        "lost": 0,
        "losses": {"ring": 1, "decode": 0, "subscriber": 2, "store": 0},
        **fields,
    }
    found: Any = shape
    return found  # type: ignore[no-any-return] # of the shape that the caller asks for


def busy(times: int = 1, seconds: float = 0.5) -> flow_shapes.DigestShape:
    """The shop at work: two flows allowed, three denied, one of which floods."""
    return digest(
        edge(flow("client", "80/TCP"), 40 * times),
        edge(flow("client", "8080/TCP", "deny"), 10 * times, 30 * times),
        edge(flow("guest", "80/TCP", "isolated"), 5 * times, 5 * times),
        edge(flow("198.51.100.7", "443/TCP", "isolated"), 1, 1),
        edge(flow("client", "echo-request/ICMP"), 5 * times),
        seconds=seconds,
    )


class Shop(Answers):
    """An agent with a script of digests, and with what is set by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[flow_shapes.DigestShape] = [busy(), busy(3), busy(2)]
        self.verdicts: list[flow_shapes.FlowShape] = []
        self.by_hand: list[shapes.EntryShape] = []
        self.asked: list[FlowQuery] = []
        self.revision = 7
        self.refusal: Exception | None = None
        self._ended = False

    def end(self) -> None:
        """End all streams, as an agent does before it goes."""
        self._ended = True

    async def status(self) -> shapes.Status:
        return {**await super().status(), "instance": "shop", "revision": self.revision}

    def endpoints(self) -> list[shapes.EndpointShape]:
        return [self._endpoint(name) for name in sorted(NUMBERS)]

    def _endpoint(self, name: str) -> shapes.EndpointShape:
        common = super().endpoint("backend")
        return {
            **common,
            "name": f"shop/{name}",
            "identity": NUMBERS[name],
            "labels": LABELS[name],
            "addresses": [ADDRESSES[name]],
            "enforcement": {"ingress": name == "web", "egress": False},
        }

    async def subjects(self) -> list[shapes.SubjectShape]:
        policies = {"web": [POLICY]}
        return [
            {
                "identity": number,
                "policies": policies.get(name, []),
                "entries": 4,
                "allowed": 1200,
                "denied": 98_412 if name == "web" else 0,
                "bytes": 5_000_000,
            }
            for name, number in NUMBERS.items()
        ]

    async def rules(self) -> list[shapes.RuleShape]:
        (common,) = await super().rules()
        allowed: shapes.RuleShape = {**common, "policy": POLICY, **_written("allow"), "packets": 1200}
        denied: shapes.RuleShape = {
            **common,
            "policy": POLICY,
            **_written("deny"),
            "packets": 98_412,
            "verdict": "deny",
        }
        return [denied, allowed, {**common, "policy": "", "origin": "", "text": OPEN["text"], "packets": 0}]

    def policy(self, uid: str) -> shapes.PolicyShape:
        if uid != POLICY:
            raise NotFound(f"there is no policy {uid}")
        kind, namespace, name = POLICY.split("/")
        named: shapes.PolicyShape = {
            "uid": uid,
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "origin": "policies/web.yaml:3",
            "rules": 2,
        }
        return {**named, "text": TEXT, "text_line": FIRST_LINE}

    async def entries(self, subject: int | None, peer: int | None, *, by_hand: bool = False) -> list[shapes.EntryShape]:
        return self.by_hand if by_hand else await super().entries(subject, peer)

    async def change_entries(self, request: shapes.EntriesRequest) -> shapes.Revision:
        if self.refusal:
            raise self.refusal
        self.changes.append(("entries", request))
        for key in request["delete"]:
            self.by_hand = [entry for entry in self.by_hand if not _is_at(entry, key)]
        for wanted in request["set"]:
            self.by_hand = [entry for entry in self.by_hand if not _is_at(entry, wanted)]
            self.by_hand.append(hand_entry(wanted))
        self.revision += 1
        return {"revision": self.revision}

    async def digests(self, wanted: FlowQuery, seconds: float) -> AsyncIterator[flow_shapes.DigestShape]:  # noqa: ARG002 - as scripted
        self.asked.append(wanted)
        told = 0
        while not self._ended:
            while told < len(self.script):
                yield self.script[told]
                told += 1
            await asyncio.sleep(0.005)

    async def subscribe(self, wanted: FlowFilter) -> AsyncIterator[bytes]:  # noqa: ARG002 - as scripted
        told = 0
        yield b"\n"
        while not self._ended:
            while told < len(self.verdicts):
                yield json.dumps(self.verdicts[told]).encode() + b"\n"
                told += 1
            await asyncio.sleep(0.005)


def hand_entry(wanted: shapes.EntryRequest) -> shapes.EntryShape:
    """An entry set by hand, as the agent lists it."""
    key = key_of(wanted)
    names = {number: LABELS[name] for name, number in NUMBERS.items()}
    return {
        "direction": Direction(key.direction).name.lower(),
        "subject": key.subject,
        "subject_labels": names.get(key.subject, []),
        "peer": key.peer,
        "peer_kind": PeerKind(key.peer_kind).name.lower(),
        "peer_labels": names.get(key.peer, []),
        "port": key.port,
        "prefix": key.prefix,
        "protocol": key.protocol,
        "traffic": traffic_text(key.protocol, key.port, key.prefix),
        "action": wanted["action"],
        "precedence": 1,
        "tier": Tier(key.tier).name.lower(),
        "packets": 12,
        "bytes": 720,
        "rule": "by hand",
        "policy": "manual",
        "origin": "manual",
        "record": 1,
        "rule_number": 9,
    }


def _is_at(entry: shapes.EntryShape, key: shapes.EntryKey) -> bool:
    wanted = key_of(key)
    return (entry["direction"], entry["subject"], entry["peer"], entry["port"], entry["tier"]) == (
        Direction(wanted.direction).name.lower(),
        wanted.subject,
        wanted.peer,
        wanted.port,
        Tier(wanted.tier).name.lower(),
    )


def _written(decision: Decision) -> Any:
    return {"text": _RULES[decision]["text"], "origin": _RULES[decision]["origin"]}
