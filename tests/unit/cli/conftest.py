"""A real API server over a unix socket, whose agent is a table of answers, and the command line that asks it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ringfence.agent.dry import DryPrefilter, DryUplinks
from ringfence.agent.prefix_list import PrefixList
from ringfence.agent.uplinks import Uplinks
from ringfence.api import flow_shapes, shapes
from ringfence.api.explaining import ExplainRequest, Explanation
from ringfence.api.preview_shapes import PreviewShape
from ringfence.api.service_shapes import ServiceShape
from ringfence.cli.main import cli
from ringfence.errors import BadInput, NotFound, Problem
from ringfence.flow.filter import FlowFilter
from ringfence.flow.query import FlowQuery
from ringfence.flow.request import FlowRequest
from tests.unit.api.serving import serving
from tests.unit.cli.balanced import SERVICES
from tests.unit.cli.inspected import BACKEND, FRONTEND, InspectionAnswers
from tests.unit.cli.observed import OBSERVED

Run = Callable[..., Result]

RULE: flow_shapes.DecidingRule = {
    "policy": "CiliumNetworkPolicy/default/backend-access",
    "text": "allowed by backend-access, access.yaml:10",
    "origin": "access.yaml:10",
}


class Answers:
    """A `Control` with fixed answers, which remembers what it was asked to change."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, Any]] = []
        self.inspection = InspectionAnswers(self.changes)
        kernel = DryPrefilter(lambda _line: None)
        self.staging: Any = None
        self.commits: Any = None  # what is asked of commits is asked of a whole agent, in test_policy_history.py
        self.prefilter = PrefixList(kernel, Uplinks((), kernel, DryUplinks(lambda _line: None)), Path())

    async def status(self) -> shapes.Status:
        return {
            "revision": 7,
            "instance": "test",
            "endpoints": 1,
            "policies": 1,
            "identities": 2,
            "uptime_seconds": 61.5,
            "events": {
                "seen": 10,
                "lost": 1,
                "held_back": 4,
                "losses": {"ring": 1, "decode": 0, "subscriber": 2, "store": 0},
            },
            "recording": {
                "state": "off",
                "reason": "not asked for",
                "directory": "",
                "segments": 0,
                "bytes": 0,
                "flows": 0,
                "oldest": None,
            },
            "config": self.config(),
            "aggregations": {"backend": "packets"},
            "counters": {"allowed": 8, "denied": 3},
            "attach": [
                {
                    "endpoint": "backend",
                    "ifindex": 4,
                    "mechanism": "tcx",
                    "programs_ok": False,
                    "problems": [],
                    "others": ["tcx program 9 runs after to_endpoint at egress"],
                    "delivery": "stack",
                    "delivery_reason": "filter rules",
                }
            ],
            "drops": [{"reason": "policy denied", "direction": "ingress", "packets": 3, "bytes": 180}],
            "last_commit": None,
            "abi": "0123456789ab",
            "warnings": ["the ring is nearly full"],
        }

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        return b"", accept

    async def verify(self) -> shapes.Verification:
        drift: shapes.Drift = {
            "map": "policy",
            "change": "lost",
            "entry": "normal ingress of 67890 (k8s:app=backend) from anyone, 80/TCP",
            "wanted": "allowed by backend-access, access.yaml:10",
            "found": None,
        }
        return {
            "revision": 7,
            "equal": False,
            "checked": {"entries": 1, "rules": 1, "prefixes": 2, "endpoints": 1},
            "drift": [drift],
            "proof": {"equal": True, "classes": 12, "counterexample": None},
        }

    def endpoints(self) -> list[shapes.EndpointShape]:
        return [self.endpoint("backend")]

    def endpoint(self, name: str) -> shapes.EndpointShape:
        if name not in {"backend", "default/backend"}:
            raise NotFound(f"there is no endpoint {name}")
        return {
            "id": 12,
            "name": name,
            "identity": 67890,
            "labels": BACKEND,
            "addresses": ["10.0.0.1"],
            "ifindex": 4,
            "interface": "eth0",
            "netns": "/run/netns/rf-b",
            "state": "ready",
            "enforcement": {"ingress": True, "egress": False},
            "delivery": "peer",
            "delivery_reason": "",
            "aggregation": "packets",
            "aggregation_in_force": "packets",
        }

    async def configure_endpoint(self, name: str, request: shapes.EndpointConfig) -> shapes.EndpointShape:
        self.changes.append((name, request))
        return self.endpoint(name)

    def config(self) -> shapes.HostConfig:
        return {"aggregation": "connections", "denial_limit": 10}

    def configure(self, request: shapes.HostConfigRequest) -> shapes.HostConfig:
        self.changes.append(("host", request))
        return self.config()

    async def put_endpoint(self, name: str, request: shapes.EndpointRequest) -> shapes.EndpointShape:
        self.changes.append((name, request))
        return self.endpoint("backend")

    async def delete_endpoint(self, name: str) -> shapes.Revision:
        self.endpoint(name)
        self.changes.append((name, None))
        return {"revision": 8}

    def identities(self) -> list[shapes.IdentityShape]:
        return [{"id": 12345, "labels": FRONTEND}, {"id": 67890, "labels": BACKEND}]

    def identity(self, number: int) -> shapes.IdentityShape:
        for found in self.identities():
            if found["id"] == number:
                return found
        raise NotFound(f"there is no identity {number}")

    async def apply_policies(self, request: shapes.ApplyRequest) -> shapes.Applied:
        problems = [
            Problem(source["name"], number, 1, "the word 'bad'", "another")
            for source in request["sources"]
            for number, line in enumerate(source["text"].splitlines(), 1)
            if line == "bad"
        ]
        if problems:
            raise BadInput(problems)
        self.changes.append(("apply", request))
        warning: shapes.ProblemShape = {
            "file": "a.yaml",
            "line": 1,
            "column": 13,
            "found": "cilium.io/v1alpha1",
            "expected": "cilium.io/v2",
            "severity": "warning",
        }
        return {"revision": 8, "applied": [RULE["policy"]], "warnings": [warning], "milliseconds": 1.5}

    async def preview(self, request: shapes.ApplyRequest) -> PreviewShape:
        self.changes.append(("preview", [source["name"] for source in request["sources"]]))
        return {"cuts": [], "opens": []}

    async def delete_policies(self, request: shapes.PolicyUids) -> shapes.Applied:
        uids = request["uids"]
        self.changes.append(("delete", uids))
        return {"revision": 9, "applied": uids, "warnings": [], "milliseconds": 0.5}

    def services(self) -> list[ServiceShape]:
        return SERVICES

    async def delete_services(self, names: list[str]) -> shapes.Applied:
        self.changes.append(("delete services", names))
        return {"revision": 9, "applied": names, "warnings": [], "milliseconds": 0.5}

    def policies(self) -> list[shapes.PolicyShape]:
        kind, namespace, name = RULE["policy"].split("/")
        return [
            {
                "uid": RULE["policy"],
                "kind": kind,
                "namespace": namespace,
                "name": name,
                "origin": "access.yaml:1",
                "rules": 1,
            }
        ]

    def policy(self, uid: str) -> shapes.PolicyShape:
        if uid != RULE["policy"]:
            raise NotFound(f"there is no policy {uid}")
        return {**self.policies()[0], "text": "kind: CiliumNetworkPolicy\n"}

    async def entries(self, subject: int | None, peer: int | None, *, by_hand: bool = False) -> list[shapes.EntryShape]:
        if by_hand:
            return []
        allow: shapes.EntryShape = {
            "direction": "ingress",
            "subject": 67890,
            "subject_labels": BACKEND,
            "peer": 12345,
            "peer_kind": "identity",
            "peer_labels": FRONTEND,
            "port": 8080,
            "prefix": 24,
            "protocol": 6,
            "traffic": "8080/TCP",
            "action": "allow",
            "precedence": 2,
            "tier": "normal",
            "packets": 5,
            "bytes": 300,
            "rule": "allowed by backend-access, access.yaml:10",
            "policy": RULE["policy"],
            "origin": "access.yaml:10",
            "record": 3,
            "rule_number": 2,
        }
        default: shapes.EntryShape = {
            **allow,
            "peer": 0,
            "peer_kind": "any",
            "peer_labels": [],
            "port": 0,
            "prefix": 0,
            "protocol": 0,
            "traffic": "any",
            "action": "deny",
            "rule": "no rule allows this; isolated by access.yaml:10",
        }
        ports: shapes.EntryShape = {**allow, "port": 8000, "prefix": 20, "traffic": "8000-8015/TCP"}
        wanted = [entry for entry in (allow, ports, default) if subject in {None, entry["subject"]}]
        return [entry for entry in wanted if peer in {None, entry["peer"]}]

    async def set_entry(self, request: shapes.EntryRequest) -> shapes.Revision:
        self.changes.append(("set", request))
        return {"revision": 8}

    async def delete_entry(self, key: shapes.EntryKey) -> shapes.Revision:
        self.changes.append(("unset", key))
        return {"revision": 9}

    async def change_entries(self, request: shapes.EntriesRequest) -> shapes.Revision:
        self.changes.append(("entries", request))
        return {"revision": 8}

    async def subjects(self) -> list[shapes.SubjectShape]:
        counted = {"entries": 3, "allowed": 8, "denied": 3, "bytes": 900}
        return [{"identity": 67890, "policies": [RULE["policy"]], **counted}]  # type: ignore[typeddict-item] # as named

    def ipcache(self, address: str | None) -> list[shapes.IpcacheShape]:
        if address not in {None, "10.0.0.1"}:
            raise NotFound(f"no prefix contains {address}")
        return [
            {"prefix": "10.0.0.1/32", "identity": 67890, "labels": BACKEND, "prefix_class": 0, "endpoint": "backend"}
        ]

    async def explain(self, request: ExplainRequest) -> Explanation:
        raise NotFound(f"there is no workload {request['source']['name']}")

    async def rules(self) -> list[shapes.RuleShape]:
        return [
            {
                "policy": RULE["policy"],
                "index": 0,
                "direction": "ingress",
                "tier": "normal",
                "verdict": "allow",
                "origin": RULE["origin"],
                "text": RULE["text"],
                "entries": 2,
                "packets": 11,
                "bytes": 900,
            }
        ]

    async def digests(self, wanted: FlowQuery, seconds: float) -> AsyncIterator[flow_shapes.DigestShape]:
        self.changes.append(("digests", (wanted, seconds)))
        yield {
            "time": "2026-01-02T03:04:05.000006Z",
            "seconds": seconds,
            "revision": 7,
            "events": 3,
            "allowed": 2,
            "denied": 1,
            "edges": [
                {"flow": flow("allow"), "events": 2, "packets": 0, "bytes": 0},
                {"flow": flow("deny"), "events": 1, "packets": 5, "bytes": 300},
            ],
            "edges_left_out": 0,
            "flows": [flow("allow"), flow("deny")],
            "lost": 0,
            "losses": {"ring": 1, "decode": 0, "subscriber": 2, "store": 0},
        }

    async def flows(self, request: FlowRequest, form: flow_shapes.FlowForm) -> AsyncIterator[bytes]:
        self.changes.append(("flows", (request, form)))
        documents = [flow("allow"), flow("deny"), {"lost": 4}] if form == "flow" else OBSERVED

        async def lines() -> AsyncIterator[bytes]:
            for document in documents:
                yield json.dumps(document).encode() + b"\n"

        return lines()

    async def subscribe(self, wanted: FlowFilter) -> AsyncIterator[bytes]:
        self.changes.append(("subscribe", wanted))
        for document in (flow("allow"), flow("deny"), {"lost": 4}):
            yield json.dumps(document).encode() + b"\n"


def flow(verdict: str) -> flow_shapes.FlowShape:
    """A flow as the agent streams it."""
    return {
        "time": "2026-01-02T03:04:05.000006Z",
        "kind": "verdict",
        "source": {"identity": 12345, "labels": FRONTEND, "address": "10.0.0.2", "port": 40000, "endpoint": "frontend"},
        "destination": {
            "identity": 67890,
            "labels": BACKEND,
            "address": "10.0.0.1",
            "port": 8080,
            "endpoint": "backend",
        },
        "protocol": "TCP",
        "port": "8080/TCP",
        "direction": "ingress",
        "verdict": verdict,
        "reason": "forwarded" if verdict == "allow" else "policy denied",
        "rule": RULE,
        "rules": {"egress": None, "ingress": RULE},
        "match": "L3-L4",
        "revision": 7,
        "ifindex": 4,
        "length": 60,
        "packets": [1, 0],
        "bytes": [60, 0],
        "tcp_flags": "SYN",
        "status": "new",
        "service": None,
    }


@pytest.fixture(scope="session")
def _agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Answers]]:
    path, answers = tmp_path_factory.mktemp("agent") / "agent.sock", Answers()
    with serving(answers, path):
        yield str(path), answers


@pytest.fixture
def agent_socket(_agent: tuple[str, Answers]) -> str:
    return _agent[0]


@pytest.fixture
def answers(_agent: tuple[str, Answers]) -> Answers:
    _agent[1].changes.clear()
    return _agent[1]


@pytest.fixture
def run(agent_socket: str) -> Run:
    """Run a command line against the server."""

    def invoke(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(cli, ["--socket", agent_socket, *arguments], input=text)

    return invoke
