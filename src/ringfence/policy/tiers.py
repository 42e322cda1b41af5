"""From the fields of the admin kinds to rules of the tiers around NetworkPolicy.

Policies of whoever runs a cluster, judged before (Admin) or after (Baseline) those of the workloads' authors. They
never isolate: of the rules of one policy the first that matches decides, and what none of them matches goes on to the
next tier, as does what a rule passes. A pass out of the last tier is what no policy speaks of: allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ringfence.abi import Direction, Tier, Verdict
from ringfence.identity.prefixes import Block
from ringfence.identity.reserved import Reserved
from ringfence.policy.admin import AdminRule, AnyKind, BaselineSpec, ClusterSpec, Destination, Pods
from ringfence.policy.builtin import reserved_selector
from ringfence.policy.compile import origin_of
from ringfence.policy.document import Document, Path
from ringfence.policy.rule import ALL_TRAFFIC, NamedPort, Peers, Policy, Ports, Rule

_VERDICTS: Final = {"Allow": Verdict.ALLOW, "Accept": Verdict.ALLOW, "Deny": Verdict.DENY, "Pass": Verdict.PASS}
_NODES: Final = (Reserved.HOST, Reserved.REMOTE_NODE, Reserved.KUBE_APISERVER)


def read_admin_policy(document: Document, written: AnyKind, base: Path) -> Policy:
    """The policy that a checked document of one of the kinds says."""
    kind, name, spec = written.kind, written.metadata.name, written.spec
    subject = spec.subject.selector
    assert subject is not None, "the schema demands it"
    baseline = isinstance(spec, BaselineSpec) or (isinstance(spec, ClusterSpec) and spec.tier == "Baseline")
    rules: list[Rule] = []
    for way, direction, items in (
        ("ingress", Direction.INGRESS, spec.ingress or ()),
        ("egress", Direction.EGRESS, spec.egress or ()),
    ):
        for order, item in enumerate(items):
            traffic, named = _traffic(item)
            verdict = _VERDICTS[item.action]
            rules.append(
                Rule(
                    policy=f"{kind}//{name}",
                    index=len(rules),
                    direction=direction,
                    verdict=Verdict.ALLOW if baseline and verdict == Verdict.PASS else verdict,
                    subject=subject,
                    peers=_peers(item.peers),
                    traffic=traffic,
                    tier=Tier.BASELINE if baseline else Tier.ADMIN,
                    priority=0 if isinstance(spec, BaselineSpec) else spec.priority,
                    order=order,
                    default_deny=False,
                    origin=origin_of(document, (*base, "spec", way, order)),
                    named_ports=named,
                )
            )
    return Policy(kind, "", name, tuple(rules), origin_of(document, base), document.text, document.text_line)


def _peers(written: Sequence[Pods]) -> Peers:
    selectors = [each.selector for each in written if each.selector is not None]
    elsewhere = [each for each in written if isinstance(each, Destination)]
    if any(each.nodes is not None for each in elsewhere):
        selectors += map(reserved_selector, _NODES)
    blocks = [Block(network) for each in elsewhere for network in each.networks or []]
    return Peers(selectors=tuple(dict.fromkeys(selectors)), addresses=tuple(dict.fromkeys(blocks)))


def _traffic(item: AdminRule) -> tuple[tuple[Ports, ...], tuple[NamedPort, ...]]:
    meant = [each.meant for each in item.traffic_written()]
    if not meant:
        return ALL_TRAFFIC, ()
    numbered = [each for each in meant if isinstance(each, Ports)]
    named = [each for each in meant if isinstance(each, NamedPort)]
    return tuple(dict.fromkeys(numbered)), tuple(dict.fromkeys(named))
