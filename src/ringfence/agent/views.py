"""Views: what engine and kernel hold, in the shapes of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from ringfence.abi import Aggregation, Direction, PeerKind, Reason, Tier, Verdict
from ringfence.agent.dry import traffic_text
from ringfence.agent.kernel import Attachment, Entry, EventSettings
from ringfence.api import shapes
from ringfence.api.inspected import MetricShape
from ringfence.engine.commands import Network, Peer
from ringfence.engine.endpoints import Endpoint
from ringfence.engine.engine import Engine
from ringfence.engine.known import Known
from ringfence.errors import BadInput, Problem
from ringfence.policy.manifest import container_ports
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.rule import Policy
from ringfence.verdict import RuleText, reason_text

MOST_DENIALS = 1_000_000
ENDPOINT_STATES = ("attaching", "ready", "disconnected")
_FULL, _PROTOCOL = 24, 8


def endpoint(engine: Engine, found: Endpoint, attachment: Attachment | None, host: Aggregation) -> shapes.EndpointShape:
    """An endpoint, on a host with an aggregation. Until it is attached it is delivered to through the stack."""
    workload = found.workload
    return {
        "id": found.row,
        "name": workload.name,
        "identity": found.identity,
        "labels": workload.labels.texts(),
        "ports": [f"{each.name}={each.port}/{each.protocol}" for each in container_ports(workload.labels)],
        "addresses": [str(address) for address in workload.addresses],
        "ifindex": workload.ifindex,
        "interface": workload.interface,
        "netns": workload.netns,
        "state": endpoint_state(found, attachment),
        "enforcement": {
            "ingress": engine.isolated(found.identity, Direction.INGRESS),
            "egress": engine.isolated(found.identity, Direction.EGRESS),
        },
        "delivery": attachment.delivery.name.lower() if attachment else "stack",
        "delivery_reason": attachment.delivery_reason if attachment else "not attached yet",
        "aggregation": workload.aggregation.name.lower(),
        "aggregation_in_force": (workload.aggregation or host).name.lower(),
    }


def endpoint_state(found: Endpoint, attachment: Attachment | None) -> str:
    """One of `ENDPOINT_STATES`."""
    return "disconnected" if not found.workload.ifindex else "ready" if attachment else "attaching"


def policy(found: Policy, *, text: bool = False) -> shapes.PolicyShape:
    """A policy, with its document as written if asked for."""
    shape: shapes.PolicyShape = {
        "uid": found.uid,
        "kind": found.kind,
        "namespace": found.namespace,
        "name": found.name,
        "origin": str(found.origin),
        "rules": len(found.rules),
    }
    return {**shape, "text": found.text, "text_line": found.text_line} if text else shape


def problem(found: Problem) -> shapes.ProblemShape:
    """A problem by its fields."""
    return {
        "file": found.file,
        "line": found.line,
        "column": found.column,
        "found": found.found,
        "expected": found.expected,
        "severity": found.severity,
    }


def entry(found: Entry, known: Known) -> shapes.EntryShape:
    """A policy entry with what its numbers stand for."""
    key, rule = found.key, known.rule_of(found.rule)
    by_identity = key.peer_kind == PeerKind.IDENTITY
    return {
        "direction": Direction(key.direction).name.lower(),
        "subject": key.subject,
        "subject_labels": list(known.labels_of(key.subject)),
        "peer": key.peer,
        "peer_kind": PeerKind(key.peer_kind).name.lower(),
        "peer_labels": list(known.labels_of(key.peer)) if by_identity else [],
        "port": key.port,
        "prefix": key.prefix,
        "protocol": key.protocol,
        "traffic": traffic_text(key.protocol, key.port, key.prefix),
        "action": rule.verdict.name.lower() if rule else "unknown",
        "precedence": rule.precedence if rule else 0,
        "tier": Tier(key.tier).name.lower(),
        "packets": found.packets,
        "bytes": found.bytes,
        "rule": rule.text if rule else f"rule {found.rule}, forgotten",
        "policy": rule.policy if rule else "",
        "origin": rule.origin if rule else "",
        "record": found.record,
        "rule_number": found.rule,
    }


def rules(entries: Iterable[Entry], known: Known) -> list[shapes.RuleShape]:
    """Rules with the sums of their entries, most packets first."""
    found: dict[int, shapes.RuleShape] = {}
    for each in entries:
        rule = known.rule_of(each.rule)
        if rule is None:
            continue
        shape = found.setdefault(each.rule, _rule(rule))
        shape["entries"] += 1
        shape["packets"] += each.packets
        shape["bytes"] += each.bytes
    return sorted(found.values(), key=lambda rule: (-rule["packets"], rule["policy"], rule["index"]))


def subjects(entries: Iterable[Entry], known: Known) -> list[shapes.SubjectShape]:
    """Subjects with the sums of their entries, by number; the defaults are no policies, but count."""
    found: dict[int, shapes.SubjectShape] = {}
    policies: dict[int, set[str]] = {}
    for each in entries:
        rule, subject = known.rule_of(each.rule), each.key.subject
        if rule is None:
            continue
        shape = found.setdefault(
            subject, {"identity": subject, "policies": [], "entries": 0, "allowed": 0, "denied": 0, "bytes": 0}
        )
        shape["entries"] += 1
        shape["denied" if rule.verdict is Verdict.DENY else "allowed"] += each.packets
        shape["bytes"] += each.bytes
        if rule.policy:
            policies.setdefault(subject, set()).add(rule.policy)
    return [{**found[subject], "policies": sorted(policies.get(subject, ()))} for subject in sorted(found)]


def _rule(rule: RuleText) -> shapes.RuleShape:
    return {
        "policy": rule.policy,
        "index": rule.index,
        "direction": rule.direction.name.lower(),
        "tier": rule.tier.name.lower(),
        "verdict": rule.verdict.name.lower(),
        "origin": rule.origin,
        "text": rule.text,
        "entries": 0,
        "packets": 0,
        "bytes": 0,
    }


def prefix(network: Network, peer: Peer, known: Known) -> shapes.IpcacheShape:
    """An ipcache entry."""
    return {
        "prefix": str(network),
        "identity": peer.identity,
        "labels": list(known.labels_of(peer.identity)),
        "prefix_class": peer.prefix_class,
        "endpoint": known.endpoint_of(peer.endpoint) if peer.endpoint else None,
    }


def drops(counted: Mapping[tuple[int, int], tuple[int, int]]) -> list[shapes.Drops]:
    """What was dropped, most packets first."""
    dropped = {place: counters for place, counters in counted.items() if place[0] != Reason.FORWARDED}
    return [*metrics(dropped)]


def metrics(counted: Mapping[tuple[int, int], tuple[int, int]]) -> list[MetricShape]:
    """What was let through and what was dropped, most packets first."""
    found: list[MetricShape] = [
        {
            "reason": reason_words(reason),
            "direction": Direction(direction).name.lower() if direction else "unknown",
            "packets": packets,
            "bytes": size,
        }
        for (reason, direction), (packets, size) in counted.items()
    ]
    return sorted(found, key=lambda row: -row["packets"])


def counters(metrics: Mapping[tuple[int, int], tuple[int, int]]) -> shapes.VerdictCounts:
    """Packets by verdict."""
    allowed = sum(packets for (reason, _), (packets, _) in metrics.items() if reason == Reason.FORWARDED)
    return {"allowed": allowed, "denied": sum(packets for packets, _ in metrics.values()) - allowed}


def reason_words(number: int) -> str:
    """A reason in words; one that this agent does not know as its number."""
    try:
        return reason_text(Reason(number))
    except ValueError:
        return str(number)


def key_of(asked: shapes.EntryKey) -> PolicyKey:
    """The key that a request means. Without a prefix it follows from whether port and protocol are given."""
    protocol, port, given = asked.get("protocol", 0), asked.get("port"), asked.get("prefix")
    peer = asked.get("peer", 0)
    kind = asked.get("peer_kind") or ("identity" if peer else "any")
    if port is not None and not protocol:
        raise BadInput(f"port {port} without a protocol")
    implied = 0 if not protocol else _PROTOCOL if port is None else _FULL
    return PolicyKey(
        subject=asked["subject"],
        peer=peer,
        port=port or 0,
        protocol=protocol,
        prefix=implied if given is None else given,
        peer_kind=int(PeerKind[kind.upper()]),
        tier=int(Tier[asked.get("tier", "normal").upper()]),
        direction=int(Direction[asked["direction"].upper()]),
    )


def verdict_of(asked: shapes.EntryRequest) -> Verdict:
    """The verdict that a request means."""
    return Verdict[asked["action"].upper()]


def host_config(settings: EventSettings) -> shapes.HostConfig:
    """What of a host can be set while its agent runs."""
    name = cast("Any", settings.aggregation.name.lower())
    return {"aggregation": name, "denial_limit": settings.denial_limit}


def event_settings_of(asked: shapes.HostConfigRequest, known: EventSettings) -> EventSettings:
    """The settings that a request leads to. Raises `BadInput`."""
    limit = asked.get("denial_limit", known.denial_limit)
    if not 0 <= limit <= MOST_DENIALS:
        raise BadInput(f"denial limit {limit}: expected 0 to {MOST_DENIALS}")
    name = asked.get("aggregation")
    return EventSettings(Aggregation[name.upper()] if name else known.aggregation, limit)
