"""Generated CiliumNetworkPolicies and CiliumClusterwideNetworkPolicies."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.generated.pieces import (
    APPS,
    ENVIRONMENTS,
    NAMESPACES,
    PREFIXES,
    TIERS,
    Json,
    blocks,
    few,
    selectors,
    subset,
)
from tests.generated.services import references

ENTITIES = (
    "all", "world", "world-ipv4", "world-ipv6", "cluster", "host", "init", "unmanaged", "remote-node", "ingress",
    "health", "kube-apiserver", "none",
)  # fmt: skip
_LABELS: dict[str, tuple[str, ...]] = {
    "app": APPS,
    "k8s:tier": TIERS,
    "any:app": APPS,
    "k8s:io.kubernetes.pod.namespace": NAMESPACES,
    "k8s:io.cilium.k8s.namespace.labels.env": ENVIRONMENTS,
}
_KEYS = {"reserved:host": (), "reserved:world": (), "reserved:world-ipv4": (), "cidr:10.9.0.0/16": (), "tier": ()}
_PORTS: tuple[Json, ...] = (
    {"port": "80", "protocol": "TCP"},
    {"port": "80"},
    {"port": "80", "protocol": "ANY"},
    {"port": "53", "protocol": "UDP"},
    {"port": "0", "protocol": "TCP"},
    {"port": "0"},
    {"port": "70", "endPort": 90, "protocol": "TCP"},
    {"port": "81", "endPort": 65535},
    {"port": "1", "endPort": 65535, "protocol": "UDP"},
    {"port": "8000", "endPort": 8191, "protocol": "TCP"},
    {"port": "9", "protocol": "SCTP"},
    {"port": "http", "protocol": "TCP"},
    {"port": "http"},
    {"port": "dns", "protocol": "UDP"},
)
#: Names and labels of CIDR groups; a policy may speak of one that is not there.
GROUPS = ("partners", "offices")
_GROUPED: tuple[Json, ...] = (
    {"cidrGroupRef": "partners"},
    {"cidrGroupRef": "offices", "except": ["10.9.1.0/24"]},
    {"cidrGroupSelector": {"matchLabels": {"kind": "friend"}}},
    {"cidrGroupSelector": {}, "except": ["10.9.1.7/32"]},
)
_ICMP_TYPES: tuple[Json, ...] = (
    {"type": 8},
    {"type": "EchoReply"},
    {"type": 0, "family": "IPv4"},
    {"family": "IPv6", "type": "EchoRequest"},
    {"family": "IPv6", "type": 129},
)


def label_selectors() -> st.SearchStrategy[Json]:
    """Selectors over labels of every source."""
    presence = st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(sorted(_KEYS)),
        st.sampled_from(("Exists", "DoesNotExist")),
    )
    return selectors(_LABELS, presence)


def peers(way: str) -> st.SearchStrategy[Json]:
    """The peers of a rule: none said, or one of the ways to say them; an empty list says nobody."""
    endpoints = st.fixed_dictionaries({f"{way}Endpoints": few(label_selectors())})
    by_service = st.fixed_dictionaries({"toServices": few(references())})
    return st.one_of(
        *([by_service] if way == "to" else []),
        st.just({}),
        endpoints,
        endpoints,
        st.fixed_dictionaries({f"{way}CIDR": few(st.sampled_from(PREFIXES))}),
        st.fixed_dictionaries({f"{way}CIDRSet": few(st.one_of(blocks(), st.sampled_from(_GROUPED)))}),
        st.fixed_dictionaries({f"{way}Entities": few(st.sampled_from(ENTITIES))}),
    )


def traffic() -> st.SearchStrategy[Json]:
    """The ports or ICMP types of a rule, or none."""
    return st.one_of(
        st.just({}),
        st.just({}),
        few(st.sampled_from(_PORTS), least=1).map(lambda ports: {"toPorts": [{"ports": ports}]}),
        few(st.sampled_from(_ICMP_TYPES), least=1).map(lambda fields: {"icmps": [{"fields": fields}]}),
    )


def specs() -> st.SearchStrategy[Json]:
    """The rules for the endpoints of one selector."""
    ingress, egress = (few(st.builds(lambda who, what: who | what, peers(way), traffic())) for way in ("from", "to"))
    isolation = st.fixed_dictionaries({}, optional={"ingress": st.booleans(), "egress": st.booleans()})
    sides = {"ingress": ingress, "ingressDeny": ingress, "egress": egress, "egressDeny": egress}
    some = st.lists(st.sampled_from(sorted(sides)), min_size=1, max_size=3, unique=True)
    return some.flatmap(
        lambda names: st.fixed_dictionaries(
            {"endpointSelector": label_selectors(), **{name: sides[name] for name in names}},
            optional={"enableDefaultDeny": isolation},
        )
    )


def policies(name: str) -> st.SearchStrategy[Json]:
    """A policy of either kind."""
    clusterwide = {"kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": name}}
    heads: list[Json] = [
        {"kind": "CiliumNetworkPolicy", "metadata": {"name": name, "namespace": namespace}} for namespace in NAMESPACES
    ]
    return st.builds(
        lambda head, specs: {"apiVersion": "cilium.io/v2", **head, "specs": specs},
        st.sampled_from([*heads, clusterwide]),
        few(specs(), least=1),
    )


def cidr_groups(name: str) -> st.SearchStrategy[Json]:
    """A CIDR group of this name."""
    return st.builds(
        lambda prefixes, labels: {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumCIDRGroup",
            "metadata": {"name": name, "labels": labels},
            "spec": {"externalCIDRs": prefixes},
        },
        st.lists(st.sampled_from(PREFIXES), max_size=3, unique=True),
        subset(kind=("friend", "foe")),
    )
