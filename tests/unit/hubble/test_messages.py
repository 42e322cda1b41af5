"""What goes over the wire, read by field numbers alone: those of Cilium's flow.proto and observer.proto."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ringfence.abi import CtStatus, EventKind, Reason, Verdict
from ringfence.flow.enrich import flows
from ringfence.hubble.messages import encoded, flow_response, lost_response
from ringfence.hubble.wire import flow_pb2, observer_pb2
from tests.unit.flow.batch import DENIED, Names, event
from tests.unit.hubble.rawproto import Value, find

TIME = 1_700_000_000_123_456_789
FLOW = 1  # GetFlowsResponse.flow
MATCHES_L3_L4 = 1
SPOOFED = {"verdict": Verdict.DENY, "reason": Reason.INVALID_SOURCE, "egress_rule": 0, "ingress_rule": 0}


def sent(**made: Any) -> bytes:
    """The response to one event."""
    [response] = encoded(event(time=TIME, **made), Names(), "node-1")
    return response


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ([b"node-1"], (1000,)),
        ([1_700_000_000], (1001, 1)),
        ([123_456_789], (1001, 2)),
        ([1_700_000_000], (FLOW, 1, 1)),
        ([123_456_789], (FLOW, 1, 2)),
        ([1], (FLOW, 2)),
        ([b"10.0.0.2"], (FLOW, 5, 1)),
        ([b"10.0.0.1"], (FLOW, 5, 2)),
        ([1], (FLOW, 5, 3)),
        ([40000], (FLOW, 6, 1, 1)),
        ([8080], (FLOW, 6, 1, 2)),
        ([1], (FLOW, 6, 1, 3, 2)),
        ([1], (FLOW, 6, 1, 3, 5)),
        ([2], (FLOW, 8, 1)),
        ([257], (FLOW, 8, 2)),
        ([b"default"], (FLOW, 8, 3)),
        ([b"k8s:app=client"], (FLOW, 8, 4)),
        ([b"client"], (FLOW, 8, 5)),
        ([b"default"], (FLOW, 8, 7)),
        ([256], (FLOW, 9, 2)),
        ([b"k8s:app=web", b"k8s:io.kubernetes.pod.namespace=default"], (FLOW, 9, 4)),
        ([1], (FLOW, 10)),
        ([b"node-1"], (FLOW, 11)),
        ([5], (FLOW, 19, 1)),
        ([2], (FLOW, 22)),
        ([2], (FLOW, 23)),
        ([b""], (FLOW, 26)),
        ([3], (FLOW, 28, 1)),
        ([b"web"], (FLOW, 21002, 1)),
        ([b"default"], (FLOW, 21002, 2)),
        ([b"ringfence.io/origin=web.yaml:12"], (FLOW, 21002, 3)),
        ([7], (FLOW, 21002, 4)),
        ([b"cnp"], (FLOW, 21002, 5)),
        ([b"allowed by default: no policy isolates it", b"allowed by web (web.yaml:12)"], (FLOW, 21006)),
        ([b"TCP Flags: SYN, ACK"], (FLOW, 100000)),
        ([], (2,)),
        ([], (3,)),
    ],
)
def test_an_allowed_connection_by_field_numbers(expected: list[Value], path: tuple[int, ...]) -> None:
    """Every field of an allowed connection stands under the number that Hubble's clients read it by."""
    assert expected == find(sent(tcp_flags=0x12, ingress_shape=MATCHES_L3_L4), *path)


@pytest.mark.parametrize(
    ("expected", "path", "made"),
    [
        ([2], (2,), DENIED),
        ([133], (3,), DENIED),
        ([133], (25,), DENIED),
        ([b"web"], (21005, 1), DENIED),
        ([], (21002,), DENIED),
        ([1], (22,), DENIED),
        ([b"web"], (21004, 1), {**DENIED, "direction": 2, "egress_rule": 3, "ingress_rule": 0}),
        ([b"web"], (21001, 1), {"egress_rule": 2}),
        ([1], (19, 1), SPOOFED),
        ([132], (19, 2), SPOOFED),
        ([], (26,), SPOOFED),
        ([1], (26, 1), {"status": CtStatus.REPLY}),
        ([4], (19, 1), {"kind": EventKind.FLAGS}),
        ([101], (24,), {"kind": EventKind.FLAGS}),
        ([3], (24,), {"kind": EventKind.CLOSE, "destination_endpoint": 0}),
        ([3], (19, 2), {"kind": EventKind.CLOSE, "destination_endpoint": 0}),
        ([40000], (6, 2, 1), {"protocol": 17}),
        ([8080], (6, 2, 2), {"protocol": 17}),
        ([40000], (6, 5, 1), {"protocol": 132}),
        ([8080], (6, 5, 2), {"protocol": 132}),
        ([8], (6, 3, 1), {"protocol": 1, "icmp_type": 8}),
        ([129], (6, 4, 1), {"protocol": 58, "icmp_type": 129, "source": "fd00::1", "destination": "fd00::2"}),
        ([2], (5, 3), {"protocol": 58, "icmp_type": 129, "source": "fd00::1", "destination": "fd00::2"}),
    ],
)
def test_other_flows_by_field_numbers(expected: list[Value], path: tuple[int, ...], made: dict[str, Any]) -> None:
    """Denials, drops, replies, traces and the other protocols, each under its numbers."""
    assert expected == find(sent(**made), FLOW, *path)


@pytest.mark.parametrize(
    ("number", "flag"), list(enumerate(["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"], start=1))
)
def test_each_tcp_flag_has_its_number(number: int, flag: str) -> None:
    """The flags are numbered in the order of their bits."""
    response = sent(tcp_flags=1 << (number - 1))
    assert [1] == find(response, FLOW, 6, 1, 3, number)
    assert [f"TCP Flags: {flag}".encode()] == find(response, FLOW, 100000)


def test_lost_events_by_field_numbers() -> None:
    """A loss says where and how many, and when it was noticed."""
    response = lost_response(300, flow_pb2.HUBBLE_RING_BUFFER, "node-1", TIME)
    assert [3] == find(response, 3, 1)
    assert [300] == find(response, 3, 2)
    assert [b"node-1"] == find(response, 1000)
    assert [1_700_000_000] == find(response, 1001, 1)
    assert [] == find(response, FLOW)


def test_moulds_make_the_same_messages_as_flows_do() -> None:
    """Events that differ in time and ports share a message that is made once; nobody can tell."""
    kinds: list[dict[str, Any]] = [
        {},
        {"protocol": 17},
        {"protocol": 1, "icmp_type": 8},
        {"protocol": 47},
        DENIED,
        SPOOFED,
        {**DENIED, "packets": (3, 0), "bytes": (180, 0)},
        {**DENIED, "packets": (4, 0), "bytes": (240, 0)},
        {"kind": EventKind.CLOSE, "packets": (5, 4), "bytes": (300, 900)},
        {"kind": EventKind.CLOSE, "packets": (6, 4), "bytes": (360, 900)},
        {"kind": EventKind.FLAGS, "tcp_flags": 0x11},
        {"status": CtStatus.REPLY, "packets": (1, 0), "bytes": (60, 0)},
    ]
    rows = [
        event(time=1_700_000_000_000_001_000 + 1000 * number, source_port=1 + number, length=60 + number, **kind)
        for number, kind in enumerate(kinds * 3)
    ]
    batch = np.concatenate(rows)
    expected = [flow_response(flow, "node-1") for flow in flows(batch, Names())]
    assert expected == [observer_pb2.GetFlowsResponse.FromString(each) for each in encoded(batch, Names(), "node-1")]


def test_more_kinds_than_are_remembered_and_more_rows_than_a_chunk() -> None:
    """A scan of many addresses is told in full, in order."""
    batch = np.concatenate([event(f"10.{n >> 8}.{n & 255}.1", source_port=n) for n in range(1200)])
    told = [find(response, FLOW, 5, 1)[0] for response in encoded(batch, Names(), "n")]
    assert [f"10.{n >> 8}.{n & 255}.1".encode() for n in range(1200)] == told
