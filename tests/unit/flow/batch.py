"""Batches of events for tests, and the names of their numbers."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import numpy as np

from ringfence.abi import EVENT, Direction, Reason, Tier, Verdict
from ringfence.datapath.addresses import mapped
from ringfence.flow.decode import Events
from ringfence.flow.enrich import flows
from ringfence.verdict import RuleText

LABELS = {
    256: ("k8s:app=web", "k8s:io.kubernetes.pod.namespace=default"),
    257: ("k8s:app=client",),
    2: ("reserved:world",),
}
ENDPOINTS = {1: "default/web", 2: "default/client"}
SERVICES = {1: "shop/web"}


def rule(policy: str, verdict: Verdict, text: str, origin: str) -> RuleText:
    kinds = Direction.INGRESS, Tier.NORMAL, verdict
    return RuleText(policy, 0, *kinds, 2, Reason.FORWARDED, origin, text)


RULES = {
    1: rule("", Verdict.ALLOW, "allowed by default: no policy isolates it", ""),
    2: rule("cnp/default/web", Verdict.ALLOW, "allowed by web (web.yaml:12)", "web.yaml:12"),
    3: rule("cnp/default/web", Verdict.DENY, "no rule allows this; isolated by web (web.yaml:12)", "web.yaml:12"),
}


class Names:
    """What the numbers of the batches stand for."""

    def labels_of(self, identity: int) -> tuple[str, ...]:
        return LABELS.get(identity, ())

    def rule_of(self, number: int) -> RuleText | None:
        return RULES.get(number)

    def endpoint_of(self, row: int) -> str | None:
        return ENDPOINTS.get(row)

    def service_of(self, row: int) -> str | None:
        return SERVICES.get(row)


def event(source: str = "10.0.0.2", destination: str = "10.0.0.1", **fields: Any) -> Events:
    """One event: by default the client's SYN to the web server's port 8080, allowed."""
    row = np.zeros(1, EVENT)
    values: dict[str, Any] = {
        "source": np.frombuffer(mapped(ip_address(source)), np.uint8),
        "destination": np.frombuffer(mapped(ip_address(destination)), np.uint8),
        "family": ip_address(source).version,
        "source_port": 40000,
        "destination_port": 8080,
        "protocol": 6,
        "tcp_flags": 2,
        "source_identity": 257,
        "destination_identity": 256,
        "source_endpoint": 2,
        "destination_endpoint": 1,
        "egress_rule": 1,
        "ingress_rule": 2,
        "direction": Direction.EGRESS,
        "revision": 7,
        "length": 60,
        "ifindex": 3,
        **fields,
    }
    for name, value in values.items():
        row[name] = value
    return row


DENIED: dict[str, Any] = {
    "verdict": Verdict.DENY,
    "reason": Reason.POLICY_DENIED,
    "direction": Direction.INGRESS,
    "ingress_rule": 3,
}


def flow_of(events: Events) -> Any:
    """The one flow of a batch of one."""
    return next(flows(events, Names()))
