"""Generated AdminNetworkPolicies, BaselineAdminNetworkPolicies and ClusterNetworkPolicies."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.generated.pieces import PREFIXES, Json, few, namespace_selectors, pod_selectors

_GROUP = "policy.networking.k8s.io"
_NUMBERED: tuple[Json, ...] = (
    {"portNumber": {"protocol": "TCP", "port": 80}},
    {"portNumber": {"port": 8080}},
    {"portNumber": {"protocol": "UDP", "port": 53}},
    {"portRange": {"protocol": "TCP", "start": 70, "end": 90}},
    {"portRange": {"protocol": "SCTP", "start": 1, "end": 65535}},
)
_NAMED: tuple[Json, ...] = ({"namedPort": "http"}, {"namedPort": "dns"})
_PROTOCOLS: tuple[Json, ...] = (
    {"tcp": {"destinationPort": {"number": 80}}},
    {"tcp": {"destinationPort": {"range": {"start": 81, "end": 8080}}}},
    {"udp": {"destinationPort": {"number": 53}}},
    {"sctp": {"destinationPort": {"range": {"start": 9, "end": 80}}}},
)
_NAMED_PROTOCOLS: tuple[Json, ...] = ({"destinationNamedPort": "http"}, {"destinationNamedPort": "admin"})


def _pods() -> st.SearchStrategy[Json]:
    """Who a subject or a peer may be: namespaces, or pods of them."""
    return st.one_of(
        namespace_selectors().map(lambda selector: {"namespaces": selector}),
        st.builds(
            lambda namespaces, pods: {"pods": {"namespaceSelector": namespaces, "podSelector": pods}},
            namespace_selectors(),
            pod_selectors(),
        ),
    )


def _elsewhere() -> st.SearchStrategy[Json]:
    """Whom egress may speak of besides."""
    networks = st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=2, unique=True)
    return st.one_of(networks.map(lambda found: {"networks": found}), st.just({"nodes": {}}))


def _rules(way: str, actions: tuple[str, ...], traffic: str) -> st.SearchStrategy[list[Json]]:
    """Rules in their order. Ports by name go with pods alone."""
    numbered, named = (_NUMBERED, _NAMED) if traffic == "ports" else (_PROTOCOLS, _NAMED_PROTOCOLS)
    by_label = st.fixed_dictionaries(
        {"action": st.sampled_from(actions), way: few(_pods(), least=1)},
        optional={traffic: few(st.sampled_from(numbered + named), least=1)},
    )
    if way == "from":
        return few(by_label, 3)
    by_address = st.fixed_dictionaries(
        {"action": st.sampled_from(actions), way: few(st.one_of(_pods(), _elsewhere()), least=1)},
        optional={traffic: few(st.sampled_from(numbered), least=1)},
    )
    return few(st.one_of(by_label, by_address), 3)


def _documents(
    head: Json, actions: tuple[str, ...], traffic: str, fields: dict[str, st.SearchStrategy[object]]
) -> st.SearchStrategy[Json]:
    spec = st.fixed_dictionaries(
        {
            "subject": _pods(),
            "ingress": _rules("from", actions, traffic),
            "egress": _rules("to", actions, traffic),
            **fields,
        }
    )
    return spec.map(lambda body: {**head, "spec": body})


def policies(name: str) -> st.SearchStrategy[Json]:
    """A policy of one of the three kinds; few priorities, so that some are tied."""
    priority = st.integers(0, 2)
    metadata = {"name": name}
    admin = {"apiVersion": f"{_GROUP}/v1alpha1", "kind": "AdminNetworkPolicy", "metadata": metadata}
    cluster = {"apiVersion": f"{_GROUP}/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": metadata}
    tier = st.sampled_from(("Admin", "Baseline"))
    return st.one_of(
        _documents(admin, ("Allow", "Deny", "Pass"), "ports", {"priority": priority}),
        _documents(cluster, ("Accept", "Deny", "Pass"), "protocols", {"priority": priority, "tier": tier}),
    )


def baseline() -> st.SearchStrategy[Json]:
    """The one policy of its kind."""
    head = {
        "apiVersion": f"{_GROUP}/v1alpha1",
        "kind": "BaselineAdminNetworkPolicy",
        "metadata": {"name": "default"},
    }
    return _documents(head, ("Allow", "Deny"), "ports", {})
