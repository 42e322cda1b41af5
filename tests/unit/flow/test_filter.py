"""Filters: every field by what it lets through, every refusal by what it tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ringfence.abi import CtStatus, Direction, EventKind, Reason, Verdict
from ringfence.errors import BadInput
from ringfence.flow.columns import Batch
from ringfence.flow.enrich import flows
from ringfence.flow.filter import FIELDS, FlowFilter
from ringfence.flow.hubble import MessageType, flow_fields, message_type
from ringfence.flow.hubble_columns import IS_TYPE
from tests.unit.flow.batch import DENIED, Names, event

# The rows of the batch go by their revision, so that expectations can be read.
BATCH = np.concatenate(
    [
        event(revision=1),
        event(revision=2, **DENIED),
        event("192.0.2.7", revision=3, source_identity=2, source_endpoint=0, egress_rule=0),
        event("fd00::2", "fd00::1", revision=4, protocol=58, icmp_type=128, source_port=7, destination_port=7),
        event(
            revision=5, service=1, destination_port=53, protocol=17, direction=Direction.INGRESS, kind=EventKind.PACKET
        ),
        event(
            "10.0.0.1",
            "10.0.0.2",
            revision=6,
            source_port=8080,
            destination_port=40000,
            source_identity=256,
            destination_identity=257,
            source_endpoint=1,
            destination_endpoint=2,
            tcp_flags=0x12,
            service=1,
            status=CtStatus.REPLY,
            kind=EventKind.FLAGS,
        ),
        event(
            revision=7,
            verdict=Verdict.DENY,
            reason=Reason.INVALID_SOURCE,
            egress_rule=0,
            ingress_rule=0,
            destination_endpoint=0,
        ),
    ]
)
ALL = {1, 2, 3, 4, 5, 6, 7}


def selected(fields: dict[str, Any]) -> set[int]:
    wanted = FlowFilter.from_fields(fields)
    return {int(revision) for revision in wanted.select(BATCH, Names())["revision"]}


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        (ALL, {}),
        (ALL, {"source_ip": [], "verdict": []}),
        ({3}, {"source_ip": ["192.0.2.7"]}),
        ({1, 2, 5, 7, 3}, {"source_ip": ["192.0.2.0/24", "10.0.0.2"]}),
        ({4}, {"source_ip": ["::/0"]}),
        ({1, 2, 3, 5, 7}, {"destination_ip": ["10.0.0.1"]}),
        (ALL - {4}, {"ip": ["10.0.0.1"]}),
        ({5, 6}, {"service": ["shop/web"]}),
        ({5, 6}, {"service": ["web"]}),
        (set(), {"service": ["shop"]}),
        ({5}, {"destination_service": ["shop/web"]}),
        ({6}, {"source_service": ["shop/web"]}),
        (ALL - {3, 6}, {"source_pod": ["default/cli"]}),
        (ALL - {3, 6}, {"source_pod": ["client"]}),
        ({6}, {"source_pod": ["/web"]}),
        (ALL - {3}, {"source_pod": ["default/"]}),
        (set(), {"source_pod": ["other/client"]}),
        ({1, 2, 3, 4, 5}, {"destination_pod": ["default/web"]}),
        (ALL - {7}, {"pod": ["default/web"]}),
        (ALL - {3, 6}, {"source_label": ["app=client"]}),
        (ALL - {3, 6}, {"source_label": ["k8s:app=client"]}),
        (ALL - {3, 6}, {"source_label": ["any:app==client"]}),
        (set(), {"source_label": ["container:app=client"]}),
        ({3}, {"source_label": ["reserved:world"]}),
        ({3, 6}, {"source_label": ["app!=client"]}),
        ({6}, {"source_label": ["app in (web, db)"]}),
        ({3, 6}, {"source_label": ["app notin (client)"]}),
        ({6}, {"source_label": ["app,app notin (client,db)"]}),
        ({3}, {"source_label": ["!app"]}),
        (ALL - {6}, {"destination_label": ["app=web,io.kubernetes.pod.namespace=default"]}),
        (ALL, {"label": ["app=web"]}),
        ({3, 6}, {"source_identity": [2, "256"]}),
        ({3}, {"source_identity": ["reserved:world"]}),
        ({6}, {"destination_identity": [257]}),
        ({3}, {"identity": ["world"]}),
        ({6}, {"source_port": ["8080"]}),
        ({1, 2, 3, 7}, {"destination_port": [8080]}),
        ({1, 2, 3, 6, 7}, {"port": ["8080"]}),
        ({1, 2, 3, 6, 7}, {"port": ["any/TCP"]}),
        ({5}, {"port": ["53/UDP"]}),
        (set(), {"port": ["53/TCP", "7"]}),
        ({4}, {"destination_port": ["echo-request/ICMPv6"]}),
        (ALL - {3, 6}, {"source_endpoint": ["default/client"]}),
        (set(), {"endpoint": ["default/cli"]}),
        (ALL - {3}, {"source_namespace": ["default"]}),
        (ALL, {"namespace": ["default"]}),
        (set(), {"destination_namespace": ["other"]}),
        ({1, 3, 4, 5, 6}, {"verdict": ["FORWARDED"]}),
        ({2, 7}, {"verdict": ["DROPPED", "AUDIT"]}),
        ({2, 7}, {"verdict": [2]}),
        (set(), {"verdict": ["REDIRECTED", "ERROR", "TRACED", "TRANSLATED", "AUDIT"]}),
        ({2}, {"drop_reason_desc": ["POLICY_DENIED"]}),
        ({7}, {"drop_reason_desc": ["INVALID_SOURCE_IP"]}),
        ({2, 7}, {"drop_reason_desc": ["policy denied", "132"]}),
        ({2, 7}, {"event_type": ["drop"]}),
        ({7}, {"event_type": [{"type": 1, "match_sub_type": True, "sub_type": 132}]}),
        ({2, 7}, {"event_type": [{"type": 1, "sub_type": 132}]}),
        ({2}, {"event_type": ["drop:POLICY_DENIED"]}),
        ({1, 2, 3, 4}, {"event_type": ["policy-verdict"]}),
        ({5, 6}, {"event_type": [{"type": 4}]}),
        ({5, 6}, {"event_type": ["trace:to-endpoint"]}),
        (set(), {"event_type": ["trace:to-stack", "l7", "129", "policy-verdict:1"]}),
        ({1, 2, 3, 4}, {"event_type": ["policy-verdict:0"]}),
        ({5}, {"kind": ["packet"]}),
        ({5, 6}, {"kind": ["packet", "flags", "close"]}),
        ({5}, {"protocol": ["UDP"]}),
        ({4, 5}, {"protocol": ["udp", "icmp"]}),
        ({4}, {"protocol": ["icmpv6"]}),
        ({4}, {"protocol": [58]}),
        (set(), {"protocol": ["http", "sctp", "icmpv4"]}),
        ({2, 5}, {"traffic_direction": ["INGRESS"]}),
        (set(), {"traffic_direction": ["TRAFFIC_DIRECTION_UNKNOWN"]}),
        ({1, 2, 3, 6, 7}, {"tcp_flags": ["syn"]}),
        ({6}, {"tcp_flags": [{"SYN": True, "ACK": True, "FIN": False}]}),
        ({6}, {"tcp_flags": ["syn,ack"]}),
        ({4}, {"ip_version": ["IPv6"]}),
        (ALL - {4}, {"ip_version": ["4"]}),
        ({6}, {"reply": [True]}),
        ({1, 2, 3, 4, 5}, {"reply": [False]}),
        ({2}, {"rule": ["web.yaml:12"], "verdict": ["DROPPED"]}),
        ({1, 2, 3, 4, 5, 6}, {"rule": ["web.yaml"]}),
        ({1, 2, 3, 4, 5, 6}, {"rule": ["web"]}),
        ({1, 2, 3, 4, 5, 6}, {"policy": ["cnp/default/web"]}),
        (set(), {"rule": ["web.yaml:1", "we", ""]}),
        (set(), {"policy": ["web.yaml:12"]}),
        ({2}, {"destination_label": ["app=web"], "drop_reason_desc": ["POLICY_DENIED"]}),
        (ALL - {3, 6}, {"from": ["app=client"]}),
        ({3, 4}, {"from": ["2", "fd00::/16"]}),
        ({6}, {"to": ["default/client"]}),
        ({2, 7}, {"type": ["drop"]}),
    ],
    ids=str,
)
def test_field(expected: set[int], fields: dict[str, Any]) -> None:
    """Values of a field are alternatives; all fields must agree; a field without values asks for nothing."""
    assert expected == selected(fields)


@pytest.mark.parametrize(
    ("expected", "asked"),
    [
        ([1, 2, 3, 4, 5, 6, 7], (None, "", "", None)),
        ([2, 7], ("drop", "", "", None)),
        ([3, 4], (None, "reserved:world fd00::/16", "", None)),
        ([1, 2, 5], (None, "10.0.0.0/8", "default/web", None)),
        ([5], (None, "", "", "53/UDP")),
        ([], (None, "nobody", "", None)),
    ],
)
def test_terms_of_monitor(expected: list[int], asked: tuple[str | None, str, str, str | None]) -> None:
    """Terms for one end are alternatives; ends, type and port must all agree."""
    kind, source, destination, port = asked
    wanted = FlowFilter.parse(kind, source.split(), destination.split(), port)
    assert expected == wanted.select(BATCH, Names())["revision"].tolist()


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ("no filter 'colour'; there are: destination_endpoint, ", {"colour": ["red"]}),
        ("no filter 'http_method'", {"http_method": ["GET"]}),
        ("flows are not found by their uuid: 'x' cannot be asked for", {"uuid": ["x"]}),
        ("'10.0.0' is no address: write 10.0.0.1", {"ip": ["10.0.0"]}),
        ("'a/b/c' is no pod: write namespace/name", {"pod": ["a/b/c"]}),
        ("'' is no pod", {"source_pod": [""]}),
        ("'a/b' is no namespace", {"namespace": ["a/b"]}),
        ("'app=(' selects no labels: write app=web", {"source_label": ["app=("]}),
        ("'a=1,,b=2' selects no labels", {"source_label": ["a=1,,b=2"]}),
        ("'cidr:10/8': ", {"label": ["cidr:10/8"]}),
        ("'k8s:' is no key of a label", {"label": ["k8s:"]}),
        ("'nobody' is no identity: write its number, or one of host, world", {"source_identity": ["nobody"]}),
        ("'4294967296' is no identity", {"identity": [4294967296]}),
        ("'-1' is no identity", {"identity": [-1]}),
        ("'http' is no port: write 8080/TCP.*, or 8080", {"port": ["http"]}),
        ("'70000' is no port", {"port": [70000]}),
        ("{'a': 1} names no end of a flow", {"destination_ip": [{"a": 1}]}),
        ("True names no end of a flow", {"identity": [True]}),
        ("no verdict 'DENIED'; there are: FORWARDED, DROPPED", {"verdict": ["DENIED"]}),
        ("no verdict 9", {"verdict": [9]}),
        ("no drop reason 'bad mood'; there are: INVALID_SOURCE_IP, POLICY_DENIED", {"drop_reason_desc": ["bad mood"]}),
        ("no event type 'verdict'; there are: drop, trace, policy-verdict", {"event_type": ["verdict"]}),
        ("no sub-type of trace 'to-moon'; there are: to-endpoint, to-stack", {"event_type": ["trace:to-moon"]}),
        ("no field of an event type 'name'", {"event_type": [{"name": "drop"}]}),
        ("no event type 'deny'; there are: allow, drop", {"type": "deny"}),
        ("no kind 'open'; there are: verdict, packet, flags, close", {"kind": ["open"]}),
        ("no protocol 'tpc'; there are: icmp, tcp", {"protocol": ["tpc"]}),
        ("no traffic direction 'up'; there are: ingress, egress", {"traffic_direction": ["up"]}),
        ("no TCP flag 'SIN'; there are: FIN, SYN", {"tcp_flags": ["SIN"]}),
        ("no IP version '5'; there are: ipv4, ipv6", {"ip_version": ["5"]}),
        ("no value of reply 'maybe'; there are: true, false", {"reply": ["maybe"]}),
    ],
    ids=str,
)
def test_refusals(expected: str, fields: dict[str, Any]) -> None:
    """What there is not is bad input, and the answer names what there is."""
    with pytest.raises(BadInput, match=expected.replace("(", r"\(")):
        FlowFilter.from_fields(fields)


def test_types_and_replies_are_those_that_hubble_is_told() -> None:
    """A filter finds a flow under the type and the reply that Hubble's view of it has."""
    for flow, row in zip(flows(BATCH, Names()), range(len(BATCH)), strict=True):
        kind, reply = message_type(flow), flow_fields(flow, "").get("is_reply")
        found = {each for each, mask in IS_TYPE.items() if mask(BATCH)[row]}
        # A denial by policy is a drop too.
        assert {kind} | ({MessageType.DROP} if flow.verdict is Verdict.DENY else set()) == found
        for wanted in (True, False):
            asked = FlowFilter.from_fields({"reply": [wanted]}).mask(Batch(BATCH, Names()))[row]
            assert (reply is wanted) == asked


def test_every_field_is_tried() -> None:
    """A new field comes with its row in the table above."""
    table: Any = test_field
    tried = {name for mark in table.pytestmark for _, fields in mark.args[1] for name in fields}
    ends = {name for name in FIELDS if name.startswith(("source_", "destination_"))}
    assert {"uuid"} == set(FIELDS) - ends - tried


def test_equal_requests_are_equal_filters() -> None:
    """So that whoever keeps filters can tell what changed."""
    fields = {"source_label": ["app=web"], "port": ["53/UDP"], "verdict": ["DROPPED"]}
    assert FlowFilter.from_fields(fields) == FlowFilter.from_fields(dict(fields))


def test_no_events() -> None:
    """An empty batch stays empty under every filter."""
    wanted = FlowFilter.from_fields({"label": ["app=web"], "pod": ["web"], "rule": ["web"], "ip": ["::1"]})
    assert 0 == len(wanted.select(BATCH[:0], Names()))
