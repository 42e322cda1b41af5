"""Formatting a flow: the JSON document that programs read, and the one line that people read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ringfence.abi import Reason, Verdict
from ringfence.flow.flow import End, Flow, FlowRule

_RFC3339 = "%Y-%m-%dT%H:%M:%S.%fZ"
_POLICY = (Reason.POLICY_DENIED, Reason.POLICY_DENY_RULE)


def to_dict(flow: Flow) -> dict[str, Any]:
    """A flow as the API's event stream writes it."""
    return {
        "time": time_text(flow),
        "source": _end(flow.source),
        "destination": _end(flow.destination),
        "protocol": flow.protocol,
        "port": flow.traffic,
        "direction": flow.direction.name.lower(),
        "verdict": flow.verdict.name.lower(),
        "reason": reason_text(flow.reason),
        "rule": _rule(flow.rule),
        "rules": {"egress": _rule(flow.egress), "ingress": _rule(flow.ingress)},
        "revision": flow.revision,
        "ifindex": flow.ifindex,
        "length": flow.length,
        "tcp_flags": flow.tcp_flags,
        "status": flow.status.name.lower(),
    }


def one_line(flow: Flow) -> str:
    """A flow as `monitor` prints it: time, ends, port, direction, verdict, reason, rule with file:line."""
    words = [
        time_text(flow),
        f"{_party(flow.source)} -> {_party(flow.destination)}",
        flow.traffic,
        flow.direction.name.lower(),
        "ALLOW" if flow.verdict is Verdict.ALLOW else "DENY",
        _why(flow),
    ]
    return " ".join(word for word in words if word)


def time_text(flow: Flow) -> str:
    """When it was judged, in RFC 3339."""
    return flow.time.strftime(_RFC3339)


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as text in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_RFC3339)


def reason_text(reason: Reason) -> str:
    """A reason in words: `policy denied`."""
    return reason.name.lower().replace("_", " ")


def _why(flow: Flow) -> str:
    """A policy's verdict is told by its rule; any other denial by its reason."""
    rule = flow.rule
    said = []
    if rule is not None:
        said.append(rule.text if rule.origin in rule.text else f"{rule.text} ({rule.origin})")
    if flow.verdict is Verdict.DENY and (rule is None or flow.reason not in _POLICY):
        said.insert(0, reason_text(flow.reason))
    return ": ".join(said)


def _party(end: End) -> str:
    address = f"[{end.address}]" if ":" in end.address and end.port else end.address
    where = f"{address}:{end.port}" if end.port else address
    return f"{','.join(end.labels) or end.identity} ({end.identity}) {where}"


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
