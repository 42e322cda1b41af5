"""Hubble's view of a flow: its field names and enum names (Cilium's api/v1/flow/flow.proto) as plain values.

The one definition of what is filled: the JSON of `observe -o json` and the messages of the gRPC API are made of it. A
field that says nothing is left out, and so is `uuid`: an event has none. Of one event that judged both directions
Hubble would have two; here it has the deciding policies of both.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from ringfence.abi import CtStatus, Direction, EventKind, Reason, Verdict
from ringfence.flow.flow import End, Flow, FlowRule
from ringfence.flow.format import time_text
from ringfence.flow.pods import pod_of
from ringfence.traffic import ICMP_TYPES, ICMPV6_TYPES
from ringfence.verdict import reason_text

CLUSTER: Final = "default"
#: Where the deciding line stands, among the labels of a deciding policy.
ORIGIN_LABEL: Final = "ringfence.io/origin"

#: Hubble's names of the reasons that we share with Cilium, by number; our own, from 224 on, have none.
DROP_REASONS: Final = {
    Reason.INVALID_SOURCE: "INVALID_SOURCE_IP",
    Reason.POLICY_DENIED: "POLICY_DENIED",
    Reason.INVALID_PACKET: "INVALID_PACKET_DROPPED",
    Reason.UNSUPPORTED_L3: "UNSUPPORTED_L3_PROTOCOL",
    Reason.CT_INSERT_FAILED: "CT_MAP_INSERTION_FAILED",
    Reason.INVALID_EXTENSION_HEADER: "INVALID_IPV6_EXTENSION_HEADER",
    Reason.NO_BACKEND: "SERVICE_BACKEND_NOT_FOUND",
    Reason.NO_SNAT_PORT: "NO_MAPPING_FOR_NAT_MASQUERADE",
    Reason.CLUSTER_ADDRESS: "IS_A_CLUSTERIP",
    Reason.SOURCE_RANGE: "DENIED_BY_LB_SRC_RANGE_CHECK",
    Reason.FRAGMENT_WITHOUT_FIRST: "FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND",
    Reason.FORBIDDEN_ICMPV6: "FORBIDDEN_ICMPV6_MESSAGE",
    Reason.POLICY_DENY_RULE: "POLICY_DENY",
    Reason.VLAN: "VLAN_FILTERED",
}
UNKNOWN_REASON: Final = "DROP_REASON_UNKNOWN"
_BY_POLICY = (Reason.POLICY_DENIED, Reason.POLICY_DENY_RULE)
_PORTS = ("TCP", "UDP", "SCTP")
_ICMP = {"ICMP": ("ICMPv4", ICMP_TYPES), "ICMPv6": ("ICMPv6", ICMPV6_TYPES)}


class MessageType(IntEnum):
    """What Cilium's event was that a flow is made of (pkg/monitor/api)."""

    DROP = 1
    TRACE = 4
    POLICY_VERDICT = 5


class TracePoint(IntEnum):
    """Where an allowed packet was seen: the subtype of a trace (pkg/monitor/api), named as in the enum of the API."""

    TO_ENDPOINT = 0
    TO_STACK = 3


def message_type(flow: Flow) -> MessageType:
    """A verdict of policies, a drop for another reason, or one more packet of an allowed connection."""
    if flow.verdict is Verdict.DENY:
        return MessageType.POLICY_VERDICT if flow.reason in _BY_POLICY else MessageType.DROP
    judged = flow.kind is EventKind.VERDICT and flow.rule is not None
    return MessageType.POLICY_VERDICT if judged else MessageType.TRACE


def trace_point(flow: Flow) -> TracePoint:
    """To an endpoint of this host, or to the node's stack on its way elsewhere."""
    return TracePoint.TO_ENDPOINT if flow.destination.row else TracePoint.TO_STACK


def flow_fields(flow: Flow, node: str) -> dict[str, Any]:
    """The fields of Hubble's Flow: `time` a datetime, enums by name, messages as dicts, `is_reply` a bool."""
    kind = message_type(flow)
    return {
        "time": flow.time,
        "verdict": "DROPPED" if flow.verdict is Verdict.DENY else "FORWARDED",
        **_drop(flow),
        "IP": _ip(flow),
        **_layer4(flow),
        "source": _endpoint(flow.source),
        "destination": _endpoint(flow.destination),
        "Type": "L3_L4",
        "node_name": node,
        **_event(flow, kind),
        **_service(flow),
        "traffic_direction": flow.direction.name,
        **_reply(flow, kind),
        **({"interface": {"index": flow.ifindex}} if flow.ifindex else {}),
        **_policies(flow),
        "Summary": summary(flow),
    }


def flow_document(flow: Flow, node: str) -> dict[str, Any]:
    """What `hubble observe -o json` writes for a flow: times and 64-bit numbers are texts there."""
    time = time_text(flow)
    fields = flow_fields(flow, node) | {"time": time}
    for name in ("ingress_allowed_by", "egress_allowed_by", "ingress_denied_by", "egress_denied_by"):
        for policy in fields.get(name, ()):
            policy["revision"] = str(policy["revision"])
    return {"flow": fields, "node_name": node, "time": time}


def summary(flow: Flow) -> str:
    """The last column of Hubble's output: TCP flags or ICMP type, and what no other field has a place for."""
    told = [_protocol_summary(flow)]
    if flow.verdict is Verdict.DENY and flow.reason not in DROP_REASONS:
        told.append(reason_text(flow.reason))
    if flow.verdict is Verdict.DENY and flow.packets[0] > 1:
        told.append(f"stands for {flow.packets[0]} packets, {flow.bytes[0]} bytes")
    if flow.service:
        told.append(f"service {flow.service}")
    if flow.kind is EventKind.CLOSE:
        totals = [f"{packets} packets, {size} bytes" for packets, size in zip(flow.packets, flow.bytes, strict=True)]
        told.append(f"closed: {totals[0]} as opened; {totals[1]} back")
    return "; ".join(told)


def _service(flow: Flow) -> dict[str, Any]:
    """The service whose address the client used, on the side that its backend is of."""
    if not flow.service:
        return {}
    namespace, _, name = flow.service.partition("/")
    side = "source" if flow.status is CtStatus.REPLY else "destination"
    return {f"{side}_service": {"name": name, "namespace": namespace}}


def _drop(flow: Flow) -> dict[str, Any]:
    if flow.verdict is not Verdict.DENY:
        return {}
    return {"drop_reason": int(flow.reason), "drop_reason_desc": DROP_REASONS.get(flow.reason, UNKNOWN_REASON)}


def _ip(flow: Flow) -> dict[str, Any]:
    version = "IPv6" if ":" in flow.source.address else "IPv4"
    return {"source": flow.source.address, "destination": flow.destination.address, "ipVersion": version}


def _layer4(flow: Flow) -> dict[str, Any]:
    if flow.protocol in _ICMP:
        return {"l4": {_ICMP[flow.protocol][0]: {"type": flow.icmp_type}}}
    if flow.protocol not in _PORTS:
        return {}
    fields: dict[str, Any] = {"source_port": flow.source.port, "destination_port": flow.destination.port}
    if flow.protocol == "TCP":
        fields["flags"] = {flag: True for flag in flow.tcp_flags.split(",") if flag}
    return {"l4": {flow.protocol: fields}}


def _endpoint(end: End) -> dict[str, Any]:
    fields: dict[str, Any] = {"identity": end.identity, "cluster_name": CLUSTER, "labels": list(end.labels)}
    if end.row:
        fields["ID"] = end.row
    namespace, pod = pod_of(end.endpoint, end.labels)
    return fields | {name: text for name, text in (("namespace", namespace), ("pod_name", pod)) if text}


def _event(flow: Flow, kind: MessageType) -> dict[str, Any]:
    if kind is MessageType.DROP:
        return {"event_type": {"type": int(kind), "sub_type": int(flow.reason)}}
    if kind is MessageType.POLICY_VERDICT:
        return {"event_type": {"type": int(kind)}, "policy_match_type": int(flow.match)}
    point = trace_point(flow)
    return {"event_type": {"type": int(kind), "sub_type": int(point)}, "trace_observation_point": point.name}


def _reply(flow: Flow, kind: MessageType) -> dict[str, bool]:
    """Unknown of an ICMP error and of what was dropped before its connection was looked up."""
    unknown = flow.status is CtStatus.RELATED or kind is MessageType.DROP
    return {} if unknown else {"is_reply": flow.status is CtStatus.REPLY}


def _policies(flow: Flow) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    log = []
    for side, rule in ((Direction.EGRESS, flow.egress), (Direction.INGRESS, flow.ingress)):
        if rule is None:
            continue
        denied = flow.verdict is Verdict.DENY and side is flow.direction
        log.append(rule.text)
        if rule.policy:
            fields[f"{side.name.lower()}_{'denied' if denied else 'allowed'}_by"] = [_policy(rule, flow.revision)]
    return fields | ({"policy_log": list(dict.fromkeys(log))} if log else {})


def _policy(rule: FlowRule, revision: int) -> dict[str, Any]:
    kind, namespace, name = rule.policy.split("/", 2) if "/" in rule.policy else ("", "", rule.policy)
    fields = {"name": name, "namespace": namespace, "revision": revision, "kind": kind}
    if rule.origin:
        fields["labels"] = [f"{ORIGIN_LABEL}={rule.origin}"]
    return {field: value for field, value in fields.items() if value != ""}


def _protocol_summary(flow: Flow) -> str:
    if flow.protocol == "TCP":
        return f"TCP Flags: {flow.tcp_flags.replace(',', ', ')}"
    if flow.protocol not in _ICMP:
        return flow.protocol
    name, types = _ICMP[flow.protocol]
    return f"{name} {_type_name(flow.icmp_type, types)}"


def _type_name(number: int, types: dict[str, int]) -> str:
    """Cilium's CamelCase name of an ICMP type, or its number."""
    return next((name for name in reversed(types) if types[name] == number and " " not in name), str(number))
