"""Generated worlds: namespaces, pods and policies small enough to be tried whole, varied enough to meet every rule."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from ringfence.policy.case import Party, parse_party
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.traffic import Traffic, parse_traffic

Json = dict[str, Any]

NAMESPACES = ("shop", "bank")
APPS = ("web", "db", "job")
PREFIXES = (
    "0.0.0.0/0",
    "10.9.0.0/16",
    "10.9.1.0/24",
    "10.9.1.7/32",
    "192.0.2.0/24",
    "10.0.0.0/8",
    "10.0.0.2/31",
    "::/0",
    "fd09::/32",
)
EXCEPTS = {
    "10.9.1.0/24": ["10.9.1.7/32"],
    "0.0.0.0/0": ["10.9.0.0/16", "10.9.1.0/24"],
    "10.9.0.0/16": ["10.9.1.0/24", "10.9.1.7/32"],
    "10.0.0.0/8": ["10.9.0.0/16"],
    "::/0": ["fd09::/32"],
}
ENTITIES = ("all", "world", "world-ipv4", "world-ipv6", "cluster", "host", "init", "unmanaged", "remote-node", "none")
PARTIES: tuple[Party, ...] = tuple(
    map(parse_party, ("10.9.0.1", "10.9.1.1", "10.9.1.7", "192.0.2.9", "8.8.8.8", "fd09::1", "2001:db8::5", "host",
                      "world", "init", "unmanaged", "remote-node"))
)  # fmt: skip
TRAFFIC: tuple[Traffic, ...] = tuple(
    map(parse_traffic, ("80/TCP", "81/TCP", "8080/TCP", "53/UDP", "9/SCTP", "8/ICMP", "0/ICMP", "128/ICMPv6"))
)
PODS: tuple[Json, ...] = tuple(
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{app}{tier}", "namespace": namespace, "labels": {"app": app, "tier": tier}},
        "status": {"podIPs": [{"ip": f"10.{number}.0.{place}"}, {"ip": f"fd00:{number}::{place}"}]},
    }
    for number, namespace in enumerate(NAMESPACES)
    for place, (app, tier) in enumerate((("web", "1"), ("db", "1"), ("web", "2")), start=1)
)


def label_selectors() -> st.SearchStrategy[Json]:
    """Selectors over the pods' labels and namespaces."""
    labels = st.fixed_dictionaries(
        {},
        optional={
            "app": st.sampled_from(APPS),
            "k8s:tier": st.sampled_from(("1", "2")),
            "k8s:io.kubernetes.pod.namespace": st.sampled_from(NAMESPACES),
        },
    )
    expressions = st.one_of(
        st.builds(
            lambda operator, values: {"key": "app", "operator": operator, "values": values},
            st.sampled_from(("In", "NotIn")),
            st.lists(st.sampled_from(APPS), min_size=1, max_size=2, unique=True),
        ),
        st.builds(
            lambda key, operator: {"key": key, "operator": operator},
            st.sampled_from(("tier", "any:app", "reserved:host", "cidr:10.9.0.0/16", "io.kubernetes.pod.namespace")),
            st.sampled_from(("Exists", "DoesNotExist")),
        ),
    )
    return st.fixed_dictionaries(
        {}, optional={"matchLabels": labels, "matchExpressions": st.lists(expressions, max_size=2)}
    )


def cidr_sets() -> st.SearchStrategy[Json]:
    """Prefixes with exceptions inside them."""
    return st.sampled_from(PREFIXES).flatmap(
        lambda cidr: st.fixed_dictionaries(
            {"cidr": st.just(cidr)},
            optional={"except": st.lists(st.sampled_from(EXCEPTS.get(cidr, [cidr])), max_size=2, unique=True)},
        )
    )


def peers(way: str) -> st.SearchStrategy[Json]:
    """The peers of a rule: none said, or one of the ways to say them."""
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({f"{way}Endpoints": st.lists(label_selectors(), max_size=2)}),
        st.fixed_dictionaries({f"{way}CIDR": st.lists(st.sampled_from(PREFIXES), max_size=2)}),
        st.fixed_dictionaries({f"{way}CIDRSet": st.lists(cidr_sets(), max_size=2)}),
        st.fixed_dictionaries({f"{way}Entities": st.lists(st.sampled_from(ENTITIES), max_size=2)}),
    )


def ports() -> st.SearchStrategy[Json]:
    """The ports or ICMP types of a rule, or none."""
    port = st.one_of(
        st.sampled_from(
            (
                {"port": "80", "protocol": "TCP"},
                {"port": "80"},
                {"port": "53", "protocol": "UDP"},
                {"port": "0", "protocol": "TCP"},
                {"port": "0"},
                {"port": "70", "endPort": 90, "protocol": "TCP"},
                {"port": "81", "endPort": 65535},
                {"port": "9", "protocol": "SCTP"},
            )
        )
    )
    icmp = st.sampled_from(({"type": 8}, {"type": "EchoReply"}, {"family": "IPv6", "type": "EchoRequest"}))
    return st.one_of(
        st.just({}),
        st.builds(lambda each: {"toPorts": [{"ports": each}]}, st.lists(port, min_size=1, max_size=2)),
        st.builds(lambda each: {"icmps": [{"fields": each}]}, st.lists(icmp, min_size=1, max_size=2)),
    )


def items(way: str) -> st.SearchStrategy[list[Json]]:
    """The rules of one list."""
    return st.lists(st.builds(lambda a, b: a | b, peers(way), ports()), max_size=2)


def specs() -> st.SearchStrategy[Json]:
    """One spec of a policy."""
    return st.builds(
        lambda selector, sides: {"endpointSelector": selector, **(sides or {"ingress": []})},
        label_selectors(),
        st.fixed_dictionaries(
            {},
            optional={
                "ingress": items("from"),
                "ingressDeny": items("from"),
                "egress": items("to"),
                "egressDeny": items("to"),
                "enableDefaultDeny": st.fixed_dictionaries(
                    {}, optional={"ingress": st.booleans(), "egress": st.booleans()}
                ),
            },
        ).filter(lambda sides: set(sides) - {"enableDefaultDeny"}),
    )


def network_policies(name: str) -> st.SearchStrategy[Json]:
    """Kubernetes' own kind, whose blocks of addresses mean pods too."""
    selectors = st.fixed_dictionaries(
        {}, optional={"matchLabels": st.fixed_dictionaries({"app": st.sampled_from(APPS)})}
    )
    one = st.one_of(
        st.builds(lambda block: {"ipBlock": block}, cidr_sets()),
        st.builds(lambda pods: {"podSelector": pods}, selectors),
        st.builds(lambda pods: {"podSelector": pods, "namespaceSelector": {}}, selectors),
    )
    allowed = st.sampled_from(([], [{"port": 80}], [{"port": 70, "endPort": 90}], [{"protocol": "UDP"}]))
    item = {way: st.lists(st.builds(lambda a, b, way=way: {way: a, "ports": b}, st.lists(one, max_size=2), allowed),
                          max_size=2) for way in ("from", "to")}  # fmt: skip
    spec = st.fixed_dictionaries({"podSelector": selectors}, optional={"ingress": item["from"], "egress": item["to"]})
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return st.builds(
        lambda namespace, body: {**head, "metadata": {"name": name, "namespace": namespace}, "spec": body},
        st.sampled_from(NAMESPACES),
        spec,
    )


def policies(name: str) -> st.SearchStrategy[Json]:
    """A policy of any kind, with this name."""
    kinds = st.sampled_from(
        (
            ("CiliumNetworkPolicy", {"namespace": "shop"}),
            ("CiliumNetworkPolicy", {"namespace": "bank"}),
            ("CiliumClusterwideNetworkPolicy", {}),
        )
    )
    cilium = st.builds(
        lambda kind, spec: {
            "apiVersion": "cilium.io/v2",
            "kind": kind[0],
            "metadata": {"name": name, **kind[1]},
            "specs": spec,
        },
        kinds,
        st.lists(specs(), min_size=1, max_size=2),
    )
    return st.one_of(cilium, cilium, network_policies(name))


def policy_sets(most: int = 3) -> st.SearchStrategy[list[Json]]:
    """Several policies, each with a name of its own."""
    return st.integers(1, most).flatmap(lambda n: st.tuples(*(policies(f"p{i}") for i in range(n))).map(list))


def parsed(documents: list[Json]) -> Parsed:
    """Documents as if they stood in a file, one a line, so that origins differ."""
    return parse_documents([Source("world.yaml", "\n".join(f"---\n{json.dumps(each)}" for each in documents))])
