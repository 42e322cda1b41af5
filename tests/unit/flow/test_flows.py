from __future__ import annotations

import json
from typing import Any

from ringfence.abi import CtStatus, Direction, Reason, Verdict
from ringfence.flow.format import to_dict
from tests.unit.flow.batch import DENIED, event, flow_of


def test_allowed_flow_names_the_rule_a_policy_wrote() -> None:
    """Of two rules that allowed, the written one is told before the default."""
    document = to_dict(flow_of(event(time=1_500_000_000_123_456_789)))
    assert document["time"] == "2017-07-14T02:40:00.123456Z"
    assert document["source"] == {
        "identity": 257,
        "labels": ["k8s:app=client"],
        "address": "10.0.0.2",
        "port": 40000,
        "endpoint": "default/client",
    }
    assert document["rule"] == {
        "policy": "cnp/default/web",
        "text": "allowed by web (web.yaml:12)",
        "origin": "web.yaml:12",
    }
    assert document["rules"]["egress"]["policy"] == ""
    kinds = document["port"], document["verdict"], document["direction"], document["status"], document["tcp_flags"]
    assert kinds == ("8080/TCP", "allow", "egress", "new", "SYN")
    assert json.loads(json.dumps(document)) == document


def test_denied_flow_names_the_rule_that_denied() -> None:
    """A denial is told by the rule of the direction that denied."""
    flow = flow_of(event(**DENIED))
    document = to_dict(flow)
    assert (document["verdict"], document["direction"], document["reason"]) == ("deny", "ingress", "policy denied")
    assert document["rule"]["text"].startswith("no rule allows this; isolated by web")
    assert document["rule"]["origin"] == "web.yaml:12"


def test_drop_without_a_rule_is_told_by_its_reason() -> None:
    """What was not judged by a policy says its reason, and has no rule."""
    fields: dict[str, Any] = {
        "verdict": Verdict.DENY,
        "reason": Reason.INVALID_SOURCE,
        "egress_rule": 0,
        "ingress_rule": 0,
    }
    flow = flow_of(event(**fields))
    document = to_dict(flow)
    assert document["rule"] is None
    assert (document["verdict"], document["direction"], document["reason"]) == ("deny", "egress", "invalid source")


def test_reply_is_told_by_the_port_it_answers_from() -> None:
    """The port of a reply is the one that its connection was opened to."""
    assert to_dict(flow_of(event(source_port=80, destination_port=40000, status=CtStatus.REPLY)))["port"] == "80/TCP"


def test_icmp_has_a_type_and_no_ports() -> None:
    """ICMP is told by its type; an IPv6 address is written as such."""
    flow = flow_of(event("fd00::2", "fd00::1", protocol=58, icmp_type=128, source_port=99, destination_port=0))
    document = to_dict(flow)
    assert (document["port"], document["source"]["port"]) == ("echo-request/ICMPv6", 0)
    assert (document["source"]["address"], document["tcp_flags"]) == ("fd00::2", "")


def test_forgotten_rule_says_so() -> None:
    """A number that nobody knows any more is told as a number, not as no rule."""
    flow = flow_of(event(ingress_rule=99, direction=Direction.INGRESS))
    assert flow.ingress.text == "rule 99, forgotten"
