"""Requests as stock clients send them, written down by field numbers, and what is asked by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ringfence.abi import CtStatus, EventKind, Reason, Verdict
from ringfence.errors import BadInput
from ringfence.flow.source import MOST_FLOWS
from ringfence.hubble.request import Asked
from ringfence.hubble.wire import observer_pb2
from tests.unit.flow.batch import DENIED, Names, event
from tests.unit.hubble.rawproto import block, number

# Of GetFlowsRequest: number 1, follow 3, blacklist 5, whitelist 6, since 7, until 8, first 9.
LAST_20 = b"\x08\x14"
FOLLOW = b"\x18\x01"
FIRST_5 = b"\x08\x05\x48\x01"
ALL = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # `--all`: the last 2^64-1
SINCE_100 = b"\x3a\x02\x08\x64"  # seconds 1
UNTIL_200_AND_5_NS = b"\x42\x05\x08\xc8\x01\x10\x05"  # seconds 1, nanos 2
SECOND = 1_000_000_000


def asked(data: bytes) -> Asked:
    return Asked.read(observer_pb2.GetFlowsRequest.FromString(data))


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        ({"last": 20, "first": None, "past": True, "follow": False, "since": None, "until": None}, LAST_20),
        ({"last": None, "first": None, "past": False, "follow": True}, FOLLOW),
        ({"last": 20, "past": True, "follow": True}, LAST_20 + FOLLOW),
        ({"first": 5, "last": None, "past": True}, FIRST_5),
        ({"first": MOST_FLOWS, "last": None}, b"\x48\x01"),
        ({"last": MOST_FLOWS}, ALL),
        ({"last": None, "first": None, "past": True}, b""),
        ({"since": 100 * SECOND, "first": None, "last": None, "past": True}, SINCE_100),
        ({"since": 100 * SECOND, "first": 20, "last": None}, SINCE_100 + LAST_20),
        ({"since": 100 * SECOND, "past": True, "follow": True}, SINCE_100 + FOLLOW),
        ({"until": 200 * SECOND + 6, "last": 20}, UNTIL_200_AND_5_NS + LAST_20),
    ],
    ids=["last", "follow", "last+follow", "first", "first of all", "all", "nothing", "since", "since+number",
         "since+follow", "until"],
)  # fmt: skip
def test_bounds(expected: dict[str, Any], data: bytes) -> None:
    """Numbers and times mean what they mean to Hubble's server; until is the last moment that is told."""
    found = asked(data)
    assert expected == {name: getattr(found, name) for name in expected}


EVENTS = np.concatenate(
    [
        event(source_port=1),
        event(source_port=2, destination_port=53, protocol=17),
        event(source_port=3, **DENIED),
        event(source_port=4, verdict=Verdict.DENY, reason=Reason.INVALID_SOURCE, egress_rule=0, ingress_rule=0),
        event(source_port=5, kind=EventKind.FLAGS, tcp_flags=0x11),
        event("10.0.0.1", "10.0.0.2", source_port=6, status=CtStatus.REPLY, source_identity=256,
              destination_identity=257, source_endpoint=1, destination_endpoint=2),
        event("fd00::2", "fd00::9", source_port=7, destination_identity=2, destination_endpoint=0),
    ]
)  # fmt: skip
WHITE, BLACK = 6, 5


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ([3, 4], number(5, 2)),
        ([3, 4], block(5, b"\x02")),
        ([1, 2, 3, 4, 5, 7], block(2, "default/cl")),
        ([6], block(4, "default/client")),
        ([1, 2, 3, 4, 5, 6], block(1, "10.0.0.0/24")),
        ([7], block(3, "fd00::9")),
        ([5], block(6, number(1, 4) + number(2, 1)) + block(15, b"\x00")),
        ([4], block(6, number(1, 1) + number(2, 1) + number(3, 132))),
        ([6], block(10, "app=web")),
        ([7], block(11, "reserved:world")),
        ([2], block(12, "udp")),
        ([3], block(13, "3")),
        ([2], block(14, "53")),
        ([6], block(15, b"\x01")),
        ([6], number(19, 256)),
        ([7], number(20, 2)),
        ([5], block(23, number(1, 1) + number(5, 1))),
        ([7], number(25, 2)),
        ([3], number(30, 1)),
        ([3], block(33, b"\x85\x01")),
        ([], block(12, "http")),
        ([1, 2, 3, 4, 5, 6, 7], b""),
        ([2], block(12, "udp") + block(14, "53") + block(14, "54")),
    ],
    ids=["verdict", "verdict, packed", "source_pod", "destination_pod", "source_ip", "destination_ip", "event_type",
         "event_type with sub-type", "source_label", "destination_label", "protocol", "source_port",
         "destination_port", "reply", "source_identity", "destination_identity", "tcp_flags", "ip_version",
         "traffic_direction", "drop_reason_desc", "layer 7", "empty", "several"],
)  # fmt: skip
def test_filters_by_field_numbers(expected: list[int], fields: bytes) -> None:
    """Each field of a filter arrives under its number; on the blacklist it takes out what it lets in on the other."""
    everything = set(EVENTS["source_port"].tolist())
    for lists, wanted in ((WHITE, set(expected)), (BLACK, everything - set(expected))):
        found = asked(block(lists, fields)).query.select(EVENTS, Names())
        assert wanted == set(found["source_port"].tolist())


def test_several_filters_are_alternatives_and_the_blacklist_goes_before() -> None:
    """`--verdict DROPPED` or port 53, but not what was spoofed."""
    request = block(WHITE, number(5, 2)) + block(WHITE, block(14, "53")) + block(BLACK, block(33, b"\x84\x01"))
    assert [2, 3] == asked(request).query.select(EVENTS, Names())["source_port"].tolist()


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        ("first and follow exclude each other", FIRST_5 + FOLLOW),
        ("until is not later than since", block(7, number(1, 200)) + block(8, number(1, 100))),
        ("is no time", block(7, number(1, 1 << 62))),
        ("is no time", block(8, number(2, 1_000_000_000))),
        ("no filter 'http_status_code'", block(WHITE, block(9, "404"))),
        ("no filter 'experimental'", block(WHITE, block(999, block(1, "true")))),
        ("field 200 of flow.FlowFilter is not known here", block(WHITE, block(200, "x"))),
        ("nonsense", block(BLACK, block(1, "nonsense"))),
        ("70000", block(WHITE, block(14, "70000"))),
        ("140", block(WHITE, block(33, b"\x8c\x01"))),
    ],
)
def test_what_cannot_be_asked_for_is_refused(expected: str, data: bytes) -> None:
    """Nothing is passed over in silence: the answer would hold flows that nobody asked for."""
    with pytest.raises(BadInput, match=expected):
        asked(data)
