"""A flow in Hubble's words: what its clients print and filter by."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ringfence.abi import CtStatus, EventKind, Reason, Verdict
from ringfence.flow.flow import Flow, FlowRule
from ringfence.flow.hubble import DROP_REASONS, flow_document, flow_fields, summary
from ringfence.hubble.wire import flow_pb2
from tests.unit.flow.batch import DENIED, event, flow_of

MATCHES_L3_L4 = 1  # of an event's shape: identity and full port, plus 1
FIRST_OWN_REASON = 224


def fields_of(**fields: Any) -> dict[str, Any]:
    return flow_fields(flow(**fields), "node-1")


def flow(**fields: Any) -> Flow:
    made: Flow = flow_of(event(**fields))
    return made


def test_every_drop_reason_is_one_of_the_api() -> None:
    """A reason that Hubble's enum lacks could not be sent; the numbers are the same."""
    known = dict(flow_pb2.DropReason.items())
    assert {name: known.get(name) for name in DROP_REASONS.values()} == {
        name: int(reason) for reason, name in DROP_REASONS.items()
    }


def test_the_service_stands_on_its_backends_side() -> None:
    """By a service's address, it is the destination_service, of an answer the source_service; the summary names it."""
    found = fields_of(service=1)
    assert found["destination_service"] == {"name": "web", "namespace": "shop"}
    assert "source_service" not in found
    assert found["Summary"].endswith("service shop/web")
    assert fields_of(service=1, status=CtStatus.REPLY)["source_service"] == {"name": "web", "namespace": "shop"}
    assert not {"source_service", "destination_service"} & set(fields_of())


def test_an_allowed_connection_is_a_policy_verdict_with_both_ends_and_the_policy() -> None:
    """Verdict, ends, ports, flags, direction and the deciding policy stand where Hubble's clients look for them."""
    found = fields_of(time=1_700_000_000_123_456_789, ingress_shape=MATCHES_L3_L4)
    expected = {
        "verdict": "FORWARDED",
        "IP": {"source": "10.0.0.2", "destination": "10.0.0.1", "ipVersion": "IPv4"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": 8080, "flags": {"SYN": True}}},
        "source": {
            "ID": 2,
            "identity": 257,
            "cluster_name": "default",
            "namespace": "default",
            "labels": ["k8s:app=client"],
            "pod_name": "client",
        },
        "destination": {
            "ID": 1,
            "identity": 256,
            "cluster_name": "default",
            "namespace": "default",
            "labels": ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=default"],
            "pod_name": "web",
        },
        "Type": "L3_L4",
        "node_name": "node-1",
        "event_type": {"type": 5},
        "policy_match_type": 2,
        "traffic_direction": "EGRESS",
        "is_reply": False,
        "interface": {"index": 3},
        "ingress_allowed_by": [
            {
                "name": "web",
                "namespace": "default",
                "kind": "cnp",
                "revision": 7,
                "labels": ["ringfence.io/origin=web.yaml:12"],
            }
        ],
        "policy_log": ["allowed by default: no policy isolates it", "allowed by web (web.yaml:12)"],
        "Summary": "TCP Flags: SYN",
    }
    assert "2023-11-14T22:13:20.123456+00:00" == found.pop("time").isoformat()
    assert expected == found


def test_a_denial_by_policy_names_the_policy_that_isolates() -> None:
    """A default deny is told as denied by the policy that isolates, with the line it stands at."""
    found = fields_of(**DENIED)
    assert ("DROPPED", 133, "POLICY_DENIED") == (found["verdict"], found["drop_reason"], found["drop_reason_desc"])
    assert {"type": 5} == found["event_type"]
    [policy] = found["ingress_denied_by"]
    assert ("web", ["ringfence.io/origin=web.yaml:12"]) == (policy["name"], policy["labels"])
    assert "ingress_allowed_by" not in found
    assert "no rule allows this; isolated by web (web.yaml:12)" in found["policy_log"]


def test_a_drop_for_another_reason_is_a_drop_with_its_reason_as_subtype() -> None:
    """What no policy denied is of Hubble's type drop, and whether it was a reply nobody knows."""
    spoofed = {"verdict": Verdict.DENY, "reason": Reason.INVALID_SOURCE, "egress_rule": 0, "ingress_rule": 0}
    found = fields_of(**spoofed)
    assert {"type": 1, "sub_type": 132} == found["event_type"]
    assert "INVALID_SOURCE_IP" == found["drop_reason_desc"]
    assert "is_reply" not in found
    assert "policy_log" not in found


@pytest.mark.parametrize("reason", [each for each in Reason if each is not Reason.FORWARDED])
def test_every_shared_reason_has_hubbles_name_and_our_own_are_told_in_the_summary(reason: Reason) -> None:
    """Numbers below 224 are Cilium's and have its names; the others are unknown to it, so the summary says them."""
    found = fields_of(verdict=Verdict.DENY, reason=reason, egress_rule=0, ingress_rule=0)
    named = reason < FIRST_OWN_REASON
    assert named == (reason in DROP_REASONS)
    assert named == (found["drop_reason_desc"] != "DROP_REASON_UNKNOWN")
    assert named != (reason.name.lower().replace("_", " ") in found["Summary"])


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ({"UDP": {"source_port": 40000, "destination_port": 8080}}, {"protocol": 17}),
        ({"SCTP": {"source_port": 40000, "destination_port": 8080}}, {"protocol": 132}),
        ({"ICMPv4": {"type": 8}}, {"protocol": 1, "icmp_type": 8}),
        ({"ICMPv6": {"type": 129}}, {"protocol": 58, "icmp_type": 129, "source": "fd00::1", "destination": "fd00::2"}),
        (None, {"protocol": 47}),
    ],
)
def test_each_protocol_has_its_layer_4(expected: dict[str, Any] | None, fields: dict[str, Any]) -> None:
    """Ports where there are ports, types for ICMP, nothing for what Hubble does not know."""
    assert expected == fields_of(**fields).get("l4")


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ("TCP Flags: SYN, ACK", {"tcp_flags": 0x12}),
        ("UDP", {"protocol": 17}),
        ("SCTP", {"protocol": 132}),
        ("ICMPv4 EchoRequest", {"protocol": 1, "icmp_type": 8}),
        ("ICMPv6 EchoReply", {"protocol": 58, "icmp_type": 129}),
        ("ICMPv4 44", {"protocol": 1, "icmp_type": 44}),
        ("47", {"protocol": 47}),
        ("TCP Flags: SYN; stands for 3 packets, 180 bytes", {**DENIED, "packets": (3, 0), "bytes": (180, 0)}),
        (
            "TCP Flags: FIN, ACK; closed: 5 packets, 300 bytes as opened; 4 packets, 900 bytes back",
            {"kind": EventKind.CLOSE, "tcp_flags": 0x11, "packets": (5, 4), "bytes": (300, 900)},
        ),
    ],
)
def test_the_summary_says_what_hubble_says_and_what_has_no_field(expected: str, fields: dict[str, Any]) -> None:
    """The text in brackets at the end of a line."""
    assert expected == summary(flow(**fields))


@pytest.mark.parametrize(
    ("expected", "sub_type", "destination"), [("TO_ENDPOINT", 0, 1), ("TO_STACK", 3, 0)], ids=["local", "elsewhere"]
)
@pytest.mark.parametrize("kind", [EventKind.PACKET, EventKind.FLAGS, EventKind.CLOSE])
def test_later_packets_are_traces(kind: EventKind, expected: str, sub_type: int, destination: int) -> None:
    """They say where the packet went: to an endpoint of this host, or to the stack."""
    found = fields_of(kind=kind, destination_endpoint=destination)
    assert {"type": 4, "sub_type": sub_type} == found["event_type"]
    assert expected == found["trace_observation_point"]
    assert "policy_match_type" not in found


@pytest.mark.parametrize(
    ("expected", "status"),
    [(False, CtStatus.NEW), (False, CtStatus.ESTABLISHED), (True, CtStatus.REPLY), (None, CtStatus.RELATED)],
)
def test_replies_are_told_from_what_opened(expected: bool | None, status: CtStatus) -> None:  # noqa: FBT001 - what is expected
    """Clients turn the arrow around by it."""
    assert expected is fields_of(status=status).get("is_reply")


def test_an_end_elsewhere_has_the_namespace_of_its_labels_and_no_pod() -> None:
    """A peer that is no endpoint of this host is known by labels alone."""
    found = fields_of(destination_endpoint=0)["destination"]
    assert "default" == found["namespace"]
    assert not {"ID", "pod_name"} & set(found)


def test_an_entry_set_by_hand_is_a_policy_with_a_bare_name() -> None:
    """Its uid has no kind and namespace."""
    by_hand = replace(flow(), ingress=FlowRule("manual", "by hand", ""))
    assert [{"name": "manual", "revision": 7}] == flow_fields(by_hand, "n")["ingress_allowed_by"]


def test_the_document_is_what_hubble_writes_as_json() -> None:
    """Times are texts, and so are numbers of 64 bits."""
    found = json.loads(json.dumps(flow_document(flow(time=1_700_000_000_123_456_789), "node-1")))
    assert "2023-11-14T22:13:20.123456Z" == found["time"] == found["flow"]["time"]
    assert "node-1" == found["node_name"]
    assert "7" == found["flow"]["ingress_allowed_by"][0]["revision"]
