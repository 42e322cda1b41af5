"""Enriching: from the numbers of an event to the names that people know them by.

The names come from whoever keeps them (`Names`): the engine's current and past identities, rules and endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from ringfence.abi import EVENT, CtStatus, Direction, EventKind, Reason, Verdict
from ringfence.flow.decode import TYPED, Events, address_text, flags_text
from ringfence.flow.flow import End, Flow, FlowRule
from ringfence.flow.match import MatchType, match_type
from ringfence.traffic import Protocol as IpProtocol
from ringfence.traffic import format_protocol, format_traffic
from ringfence.verdict import RuleText

_NS_PER_MICROSECOND = 1000
_FIELDS = tuple(name for name in EVENT.names or () if not name.startswith("pad"))


class Names(Protocol):
    """Who knows what a number means, also for some time after it was given back."""

    def labels_of(self, identity: int) -> tuple[str, ...]:
        """The labels of an identity; empty if it was never known."""

    def rule_of(self, number: int) -> RuleText | None:
        """What a rule number stands for; None if it was never given."""

    def endpoint_of(self, row: int) -> str | None:
        """The name of the endpoint in a row of the endpoints array."""

    def service_of(self, row: int) -> str | None:
        """The namespace/name of the service with a frontend in a row of the services array."""


def flows(events: Events, names: Names) -> Iterator[Flow]:
    """One flow an event. Times of events are those of the wall clock here, in ns since the epoch: see the reader."""
    # Columns become Python's own values at once: a field of a numpy row costs ten times as much.
    columns = [_values(events, name) for name in _FIELDS]
    for row in zip(*columns, strict=True):
        yield _flow(dict(zip(_FIELDS, row, strict=True)), names)


def _values(events: Events, name: str) -> list[Any]:
    column = events[name]
    if column.ndim == 1 or column.dtype != np.uint8:
        return list(column.tolist())
    size, data = column.shape[1], column.tobytes()
    return [data[start : start + size] for start in range(0, len(data), size)]


def _flow(row: dict[str, Any], names: Names) -> Flow:
    protocol, status = row["protocol"], CtStatus(row["status"])
    return Flow(
        time=_time(row["time"]),
        kind=EventKind(row["kind"]),
        source=_end(row, "source", names),
        destination=_end(row, "destination", names),
        protocol=format_protocol(protocol),
        traffic=_traffic_text(row, protocol, status),
        direction=Direction(row["direction"]),
        verdict=Verdict(row["verdict"]),
        reason=Reason(row["reason"]),
        status=status,
        egress=flow_rule(row["egress_rule"], names),
        ingress=flow_rule(row["ingress_rule"], names),
        match=_match(row),
        revision=row["revision"],
        ifindex=row["ifindex"],
        length=row["length"],
        packets=tuple(row["packets"]),
        bytes=tuple(row["bytes"]),
        tcp_flags=flags_text(row["tcp_flags"]) if protocol == IpProtocol.TCP else "",
        icmp_type=row["icmp_type"],
        service=(names.service_of(row["service"]) or "") if row["service"] else "",
    )


def _end(row: dict[str, Any], side: str, names: Names) -> End:
    identity, endpoint = row[f"{side}_identity"], row[f"{side}_endpoint"]
    return End(
        identity=identity,
        labels=names.labels_of(identity),
        address=address_text(row[side], row["family"]),
        port=row[f"{side}_port"] if row["protocol"] not in TYPED else 0,
        endpoint=names.endpoint_of(endpoint) if endpoint else None,
        row=endpoint,
    )


def flow_rule(number: int, names: Names) -> FlowRule | None:
    """What a rule number of an event tells people; None for 0, which was not judged."""
    if not number:
        return None
    rule = names.rule_of(number)
    return FlowRule(rule.policy, rule.text, rule.origin) if rule else FlowRule("", f"rule {number}, forgotten", "")


def _match(row: dict[str, Any]) -> MatchType:
    """Of the direction that denied, or of the one that speaks for an allowance: the peer's before one's own."""
    denied = row["verdict"] == Verdict.DENY
    if denied and row["reason"] != Reason.POLICY_DENY_RULE:
        return MatchType.NONE  # the default deny: no entry of a policy matched
    if denied:
        return match_type(row["egress_shape" if row["direction"] == Direction.EGRESS else "ingress_shape"])
    return match_type(row["ingress_shape"] or row["egress_shape"])


def _traffic_text(row: dict[str, Any], protocol: int, status: CtStatus) -> str:
    """The port a policy would name: of a reply, the one that its connection was opened to."""
    if protocol in TYPED:
        return format_traffic(protocol, row["icmp_type"])
    side = "source_port" if status is CtStatus.REPLY else "destination_port"
    return format_traffic(protocol, row[side])


def _time(ns: int) -> datetime:
    seconds, rest = divmod(ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // _NS_PER_MICROSECOND)
