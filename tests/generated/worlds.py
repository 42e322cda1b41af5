"""Generated worlds: namespaces, nodes, pods of both families, and policies of every kind."""

from __future__ import annotations

import json
from typing import Final

from hypothesis import strategies as st

from ringfence.policy.case import Party, parse_party
from ringfence.policy.parse import Parsed, Source, parse_documents
from tests.generated import admin, cilium, kubernetes, services
from tests.generated.pieces import APPS, ENVIRONMENTS, NAMESPACES, TIERS, Json, few, subset

#: Everybody who is no pod: in every prefix, on its edges, in none.
PARTIES: Final[tuple[Party, ...]] = tuple(
    map(parse_party, ("10.9.0.1", "10.9.1.1", "10.9.1.7", "10.1.9.9", "192.0.2.9", "8.8.8.8", "fd09::1", "fd09:0:1::1",
                      "2001:db8::5", "host", "world", "init", "unmanaged", "remote-node", "ingress"))
)  # fmt: skip
_PORTS: tuple[Json, ...] = (
    {"containerPort": 80, "name": "http"},
    {"containerPort": 8080, "name": "http"},
    {"containerPort": 53, "name": "dns", "protocol": "UDP"},
    {"containerPort": 90, "name": "admin"},
)
_KINDS: Final = (cilium.policies, kubernetes.policies, admin.policies)


def namespaces() -> st.SearchStrategy[list[Json]]:
    """Every namespace with labels; one may be left without a manifest."""
    each = st.tuples(*(subset(env=ENVIRONMENTS) for _ in NAMESPACES))
    return each.map(
        lambda found: [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            for name, labels in zip(NAMESPACES[:-1], found, strict=False)
        ]
    )


def pods(place: int) -> st.SearchStrategy[Json]:
    """A pod with one address, two or none that is known."""
    number = place % len(NAMESPACES)
    families = st.sampled_from(((4, 6), (4, 6), (4,), (6,), ()))
    return st.builds(
        lambda labels, known, spec: {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod{place}", "namespace": NAMESPACES[number], "labels": labels},
            "spec": spec,
            "status": {"podIPs": [{"ip": _address(family, number, place)} for family in known]},
        },
        st.fixed_dictionaries({"app": st.sampled_from(APPS)}, optional={"tier": st.sampled_from(TIERS)}),
        families,
        st.one_of(
            few(st.sampled_from(_PORTS), 2).map(lambda ports: {"containers": [{"name": "main", "ports": ports}]}),
            st.just({"hostNetwork": True}) if place == 4 else st.just({}),
        ),
    )


def _address(family: int, number: int, place: int) -> str:
    return f"10.{number}.0.{place}" if family == 4 else f"fd00:{number}::{place}"


def nodes() -> st.SearchStrategy[list[Json]]:
    """No node, the one that the workloads run on, or another besides."""
    both = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"node{number}"},
            "status": {"addresses": [{"type": "InternalIP", "address": f"10.9.{number}.250"}]},
        }
        for number in range(2)
    ]
    return st.sampled_from(([], both[:1], both))


def policies(name: str) -> st.SearchStrategy[Json]:
    """A policy of any kind, with this name."""
    return st.one_of(*(kind(name) for kind in _KINDS))


def _shared() -> st.SearchStrategy[list[Json]]:
    """What there is one of: the baseline, the CIDR groups and the services, each there or not."""
    each = (admin.baseline(), *map(cilium.cidr_groups, cilium.GROUPS))
    alone = [st.one_of(st.just([]), one.map(lambda found: [found])) for one in each]
    balanced: list[st.SearchStrategy[list[Json]]] = [
        st.one_of(st.just([]), one) for one in map(services.services, services.NAMES)
    ]
    return st.tuples(*alone, *balanced).map(lambda found: [document for part in found for document in part])


def policy_sets(most: int = 5, least: int = 1) -> st.SearchStrategy[list[Json]]:
    """Several policies, each with a name of its own, and what they share."""
    several = st.integers(least, most).flatmap(lambda n: st.tuples(*(policies(f"p{i}") for i in range(n))).map(list))
    return st.builds(lambda some, shared: [*some, *shared], several, _shared())


def worlds(most: int = 5) -> st.SearchStrategy[list[Json]]:
    """The documents of a whole world."""
    workloads = st.integers(2, 5).flatmap(lambda n: st.tuples(*map(pods, range(n))).map(list))
    return st.builds(
        lambda *parts: [document for part in parts for document in part],
        namespaces(),
        nodes(),
        workloads,
        policy_sets(most, min(most, 2)),
    )


def text_of(documents: list[Json]) -> str:
    """Documents as if they stood in a file, one a line, so that origins differ."""
    return "\n".join(f"---\n{json.dumps(each)}" for each in documents)


def parsed(documents: list[Json]) -> Parsed:
    """What the documents say."""
    return parse_documents([Source("world.yaml", text_of(documents))])
