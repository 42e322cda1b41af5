"""Memory: how what an engine must know again after a restart is written as plain values, and read back.

Kinds of items: `identity` (number -> labels), `prefix` (prefix -> number), `rule` (number -> what it stands for),
`endpoint` (row -> workload), `manual` (key -> verdict), `service` (uid -> service or slice). What is desired is
remembered; what is actual the kernel knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

from ringfence.abi import Aggregation, Direction, Reason, Tier, Verdict
from ringfence.engine.events import Workload
from ringfence.labels import Labels
from ringfence.policy.mapstate import PolicyKey
from ringfence.verdict import RuleText

IDENTITY: Final = "identity"
PREFIX: Final = "prefix"
RULE: Final = "rule"
ENDPOINT: Final = "endpoint"
MANUAL: Final = "manual"
SERVICE: Final = "service"


def write_rule(rule: RuleText) -> list[object]:
    """A rule's fields, in the order of its class."""
    return [
        rule.policy,
        rule.index,
        int(rule.direction),
        int(rule.tier),
        int(rule.verdict),
        rule.precedence,
        int(rule.reason),
        rule.origin,
        rule.text,
    ]


def read_rule(fields: Sequence[Any]) -> RuleText:
    """The inverse of `write_rule`."""
    policy, index, direction, tier, verdict, precedence, reason, origin, text = fields
    numbers = Direction(direction), Tier(tier), Verdict(verdict), int(precedence), Reason(reason)
    return RuleText(policy, index, *numbers, origin, text)


def write_workload(workload: Workload) -> dict[str, object]:
    """A workload's fields by name."""
    return {
        "name": workload.name,
        "labels": workload.labels.stored(),
        "addresses": [str(address) for address in workload.addresses],
        "ifindex": workload.ifindex,
        "mac": workload.mac.hex(),
        "host_mac": workload.host_mac.hex(),
        "netns": workload.netns,
        "interface": workload.interface,
        "cookie": workload.cookie,
        "aggregation": workload.aggregation.name.lower(),
    }


def read_workload(fields: Mapping[str, Any]) -> Workload:
    """The inverse of `write_workload`."""
    return Workload(
        name=fields["name"],
        labels=Labels.parse(fields["labels"]),
        addresses=tuple(ip_address(address) for address in fields["addresses"]),
        ifindex=fields["ifindex"],
        mac=bytes.fromhex(fields["mac"]),
        host_mac=bytes.fromhex(fields["host_mac"]),
        netns=fields["netns"],
        interface=fields["interface"],
        cookie=fields.get("cookie", 0),
        aggregation=Aggregation[fields.get("aggregation", "host").upper()],
    )


def write_key(key: PolicyKey) -> str:
    """A policy key as the name of an item."""
    return " ".join(map(str, map(int, key)))


def read_key(text: str) -> PolicyKey:
    """The inverse of `write_key`."""
    return PolicyKey(*map(int, text.split()))
