"""Formatting a flow: the JSON document that the API streams; the command line makes its lines of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ringfence.flow.digest import Digest
from ringfence.flow.flow import End, Flow, FlowRule
from ringfence.verdict import reason_text

RFC3339 = "%Y-%m-%dT%H:%M:%S.%fZ"


def to_dict(flow: Flow) -> dict[str, Any]:
    """A flow as the API's event stream writes it."""
    return {
        "time": time_text(flow),
        "kind": flow.kind.name.lower(),
        "source": _end(flow.source),
        "destination": _end(flow.destination),
        "protocol": flow.protocol,
        "port": flow.traffic,
        "direction": flow.direction.name.lower(),
        "verdict": flow.verdict.name.lower(),
        "reason": reason_text(flow.reason),
        "rule": _rule(flow.rule),
        "rules": {"egress": _rule(flow.egress), "ingress": _rule(flow.ingress)},
        "match": flow.match.text,
        "revision": flow.revision,
        "ifindex": flow.ifindex,
        "length": flow.length,
        "packets": list(flow.packets),
        "bytes": list(flow.bytes),
        "tcp_flags": flow.tcp_flags,
        "status": flow.status.name.lower(),
        "service": flow.service or None,
    }


def digest_fields(found: Digest) -> dict[str, Any]:
    """A digest as the API's digest stream writes it, without what only the agent knows."""
    return {
        "events": found.events,
        "allowed": found.allowed,
        "denied": found.denied,
        "edges": [
            {"flow": to_dict(edge.flow), "events": edge.events, "packets": edge.packets, "bytes": edge.bytes}
            for edge in found.edges
        ],
        "edges_left_out": found.edges_left_out,
        "flows": [to_dict(flow) for flow in found.flows],
    }


def time_text(flow: Flow) -> str:
    """When it was judged, in RFC 3339."""
    return flow.time.strftime(RFC3339)


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as text in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime(RFC3339)


def moment_text(ns: int) -> str:
    """Nanoseconds since the epoch as `time_text` writes them: what is less than a microsecond is left out."""
    return rfc3339(ns // 1000 / 1_000_000)


def _end(end: End) -> dict[str, Any]:
    return {
        "identity": end.identity,
        "labels": list(end.labels),
        "address": end.address,
        "port": end.port,
        "endpoint": end.endpoint,
    }


def _rule(rule: FlowRule | None) -> dict[str, str] | None:
    return None if rule is None else {"policy": rule.policy, "text": rule.text, "origin": rule.origin}
