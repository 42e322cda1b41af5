"""Built-in policies: what holds without a file saying so, written as rules like any other.

A workload whose labels are unknown (`reserved:init`) is isolated. Whether the node reaches its own workloads whatever
their policies say, and whether workloads without a policy are isolated too, are settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Network
from typing import Final, Literal

from ringfence.abi import Direction, Verdict
from ringfence.identity.prefixes import Network
from ringfence.identity.reserved import RESERVED_LABELS, Reserved
from ringfence.labels import Labels
from ringfence.policy.rule import BUILT_IN, NOBODY, Peers, Policy, Rule
from ringfence.selector import Operator, Requirement, Selector

KIND: Final = "BuiltIn"
#: Link-local addresses are spoken to by the host side of an interface only.
LINK_LOCAL: Final = IPv6Network("fe80::/10")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a host decides for itself.

    `allow_localhost`: `policy` and `auto` let CiliumNetworkPolicy judge the node as the peer `host`, `always` lets it
    through to its own workloads unless a rule denies it; NetworkPolicy lets it through by itself. `enforcement`
    `always` isolates workloads that no policy selects, `never` lets everything through: no rule is in force.
    `policy_cidr_match_mode` `nodes` lets Cilium's CIDR rules mean the addresses of nodes as well as those of the world.
    `workload_prefixes` are addresses of workloads somewhere; one that is not known is `unmanaged` and not the world's.
    `node_labels` are the node's own, by which policies for nodes select it.
    """

    allow_localhost: Literal["auto", "always", "policy"] = "auto"
    enforcement: Literal["default", "always", "never"] = "default"
    policy_cidr_match_mode: Literal["", "nodes"] = ""
    workload_prefixes: tuple[Network, ...] = field(default=())
    node_labels: Labels = field(default_factory=Labels)

    @property
    def host_labels(self) -> Labels:
        """All that the node is known by."""
        return RESERVED_LABELS[Reserved.HOST] | self.node_labels


def reserved_selector(reserved: Reserved) -> Selector:
    """Everything that carries the label of a reserved identity."""
    return Selector.of([Requirement("reserved", reserved.label.key, Operator.EXISTS)])


def builtin_policies(settings: Settings) -> list[Policy]:
    """The built-in policies that the settings ask for."""
    if settings.enforcement == "never":
        return []
    policies = [_isolate("init-endpoints", reserved_selector(Reserved.INIT))]
    if settings.enforcement == "always":
        policies.append(_isolate("enforcement-always", Selector()))
    if settings.allow_localhost == "always":
        policies.append(_allow_localhost())
    return policies


def _isolate(name: str, subject: Selector) -> Policy:
    rules = tuple(
        Rule(_uid(name), index, direction, Verdict.ALLOW, subject, NOBODY) for index, direction in enumerate(Direction)
    )
    return Policy(KIND, "", name, rules, BUILT_IN)


def _allow_localhost() -> Policy:
    host = Peers(selectors=(reserved_selector(Reserved.HOST),))
    uid = _uid("allow-localhost")
    rule = Rule(uid, 0, Direction.INGRESS, Verdict.ALLOW, Selector(), host, default_deny=False)
    return Policy(KIND, "", "allow-localhost", (rule,), BUILT_IN)


def _uid(name: str) -> str:
    return f"{KIND}//{name}"
