"""Writing: drafts as manifests, as plain values for programs and as YAML with the flows that need each rule.

The YAML is written item by item, because what a rule is for stands above it in a comment; everything else is left to
the YAML library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from ringfence.abi import Direction
from ringfence.identity.prefixes import Network
from ringfence.labels import NAMESPACE_KEY, NAMESPACE_NAME_LABEL
from ringfence.policy.learning.draft import Draft, Item, peers_served
from ringfence.policy.learning.grants import Entity, Grant, Kind, Need, Peer
from ringfence.policy.learning.groups import Group
from ringfence.policy.learning.seen import Connection, Evidence
from ringfence.traffic import WITH_PORTS, Protocol, Traffic

_VERSIONS: Final[Mapping[Kind, str]] = {
    "CiliumNetworkPolicy": "cilium.io/v2",
    "NetworkPolicy": "networking.k8s.io/v1",
}
#: The one written in C is many times faster, where there is one.
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
#: How many connections a comment names before it counts the rest.
_MOST_NAMED: Final = 5
_WIDTH: Final = 116


def manifest(draft: Draft) -> dict[str, Any]:
    """The whole document of a policy."""
    return {
        "apiVersion": _VERSIONS[draft.kind],
        "kind": draft.kind,
        "metadata": {"name": draft.name, "namespace": draft.subject.namespace},
        "spec": {
            **_head(draft),
            **{name: [item_fields(each, draft.kind) for each in items] for name, items in _sides(draft)},
        },
    }


def item_fields(item: Item | None, kind: Kind) -> dict[str, Any]:
    """One rule as its document has it. None is the rule that isolates and allows nothing."""
    if item is None:
        return {}
    ingress = item.direction is Direction.INGRESS
    if kind == "NetworkPolicy":
        peers = [_kubernetes_peer(peer, item.subject.namespace) for peer in item.peers]
        return {"from" if ingress else "to": peers, "ports": [_port(each, text=False) for each in item.traffic]}
    side, end = "from" if ingress else "to", item.peers[0]
    if isinstance(end, Group):
        named: dict[str, Any] = {f"{side}Endpoints": [_cilium_peer(each, item.subject) for each in item.peers]}
    elif isinstance(end, Entity):
        named = {f"{side}Entities": [str(each) for each in item.peers]}
    else:
        named = {f"{side}CIDR": [str(each) for each in item.peers]}
    return named | _cilium_traffic(item.traffic)


def text(
    drafts: Iterable[Draft],
    served: Mapping[Grant, list[Need]],
    connections: Mapping[Connection, Evidence],
) -> str:
    """All policies as YAML, each document begun by its `---`."""
    return "".join(f"---\n{_document(draft, served, connections)}" for draft in drafts)


def _document(draft: Draft, served: Mapping[Grant, list[Need]], connections: Mapping[Connection, Evidence]) -> str:
    whole = manifest(draft)
    spec = {name: value for name, value in whole["spec"].items() if name not in {"ingress", "egress"}}
    lines = [_yaml(whole | {"spec": spec}).rstrip("\n")]
    for name, items in _sides(draft):
        if not items:
            lines.append(f"  {name}: []")
            continue
        lines.append(f"  {name}:")
        for item in items:
            lines += [f"    # {line}" for line in _reasons(item, served, connections)]
            lines += [f"    {line}" for line in _yaml([item_fields(item, draft.kind)]).splitlines()]
    return "\n".join(lines) + "\n"


def _reasons(
    item: Item | None, served: Mapping[Grant, list[Need]], connections: Mapping[Connection, Evidence]
) -> list[str]:
    if item is None:
        return ["nothing was seen to need any rule here: isolated"]
    needs = peers_served(item, served)
    told = []
    for need in needs[:_MOST_NAMED]:
        evidence = connections[need.connection]
        told.append(f"{need.connection}: {count(evidence.flows, 'flow')}, the first {evidence.first}")
    rest = needs[_MOST_NAMED:]
    if rest:
        flows = sum(connections[need.connection].flows for need in rest)
        told.append(f"and {count(len(rest), 'more connection')} of {count(flows, 'flow')}")
    return [line if line.isprintable() else ascii(line)[1:-1] for line in told]


def count(number: int, noun: str) -> str:
    """`1 flow`, `2 flows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _head(draft: Draft) -> dict[str, Any]:
    selector = _selector(draft.subject)
    if draft.kind == "NetworkPolicy":
        return {"podSelector": selector, "policyTypes": [each.name.capitalize() for each in draft.items]}
    return {"endpointSelector": selector}


def _sides(draft: Draft) -> list[tuple[str, Sequence[Item | None]]]:
    """The directions with their items. Cilium's policies need an empty item where there is none, to isolate."""
    nothing: tuple[None, ...] = () if draft.kind == "NetworkPolicy" else (None,)
    return [(direction.name.lower(), items or nothing) for direction, items in draft.items.items()]


def _selector(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if group.labels:
        found["matchLabels"] = {
            key if source == "k8s" else f"{source}:{key}": value for source, key, value in group.labels
        }
    if group.lacking:
        found["matchExpressions"] = [{"key": key, "operator": "DoesNotExist"} for key in group.lacking]
    return found


def _cilium_peer(peer: Peer, subject: Group) -> dict[str, Any]:
    assert isinstance(peer, Group), "an item has one sort of peers"
    selector = _selector(peer)
    if peer.namespace != subject.namespace:
        selector["matchLabels"] = {f"k8s:{NAMESPACE_KEY}": peer.namespace} | selector.get("matchLabels", {})
    return selector


def _kubernetes_peer(peer: Peer, namespace: str) -> dict[str, Any]:
    if isinstance(peer, Network):
        return {"ipBlock": {"cidr": str(peer)}}
    assert isinstance(peer, Group), "NetworkPolicy knows no entities"
    if peer.namespace == namespace:
        return {"podSelector": _selector(peer)}
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME_LABEL: peer.namespace}},
        "podSelector": _selector(peer),
    }


def _cilium_traffic(traffic: Sequence[Traffic]) -> dict[str, Any]:
    if traffic[0].protocol in WITH_PORTS:
        return {"toPorts": [{"ports": [_port(each, text=True) for each in traffic]}]}
    families = {Protocol.ICMP: "IPv4", Protocol.ICMPV6: "IPv6"}
    return {
        "icmps": [{"fields": [{"family": families[Protocol(each.protocol)], "type": each.port} for each in traffic]}]
    }


def _port(traffic: Traffic, *, text: bool) -> dict[str, Any]:
    """Cilium's ports are texts, those of Kubernetes numbers."""
    return {"port": str(traffic.port) if text else traffic.port, "protocol": Protocol(traffic.protocol).name}


def _yaml(value: object) -> str:
    return str(yaml.dump(value, Dumper=_DUMPER, sort_keys=False, width=_WIDTH, allow_unicode=True))
