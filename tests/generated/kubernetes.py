"""Generated NetworkPolicies."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.generated.pieces import NAMESPACES, Json, blocks, few, namespace_selectors, pod_selectors

_PORTS: tuple[Json, ...] = (
    {},
    {"port": 80},
    {"port": 70, "endPort": 90},
    {"port": 8000, "endPort": 65535, "protocol": "TCP"},
    {"protocol": "UDP"},
    {"port": 53, "protocol": "UDP"},
    {"port": 9, "protocol": "SCTP"},
    {"protocol": "SCTP"},
)
_NAMED: tuple[Json, ...] = ({"port": "http"}, {"port": "admin", "protocol": "TCP"}, {"port": "dns", "protocol": "UDP"})


def _pods() -> st.SearchStrategy[Json]:
    return st.one_of(
        pod_selectors().map(lambda pods: {"podSelector": pods}),
        namespace_selectors().map(lambda namespaces: {"namespaceSelector": namespaces}),
        st.builds(
            lambda pods, namespaces: {"podSelector": pods, "namespaceSelector": namespaces},
            pod_selectors(),
            namespace_selectors(),
        ),
    )


def _rules(way: str) -> st.SearchStrategy[list[Json]]:
    """Rules about whomever, and rules with ports by name, which egress has for pods alone."""
    anybody = st.one_of(blocks().map(lambda block: {"ipBlock": block}), _pods())
    by_number = st.fixed_dictionaries({}, optional={way: few(anybody), "ports": few(st.sampled_from(_PORTS))})
    by_name = st.fixed_dictionaries(
        {"ports": few(st.sampled_from(_PORTS + _NAMED), least=1)},
        optional={way: few(_pods() if way == "to" else anybody)},
    )
    return few(st.one_of(by_number, by_name))


def policies(name: str) -> st.SearchStrategy[Json]:
    """A policy in one of the namespaces; its types said or not."""
    types = st.sampled_from((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
    spec = st.fixed_dictionaries(
        {"podSelector": pod_selectors()},
        optional={"ingress": _rules("from"), "egress": _rules("to"), "policyTypes": types},
    )
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return st.builds(
        lambda namespace, body: {**head, "metadata": {"name": name, "namespace": namespace}, "spec": body},
        st.sampled_from(NAMESPACES),
        spec,
    )
