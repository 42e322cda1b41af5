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


def _peers() -> st.SearchStrategy[Json]:
    return st.one_of(
        blocks().map(lambda block: {"ipBlock": block}),
        pod_selectors().map(lambda pods: {"podSelector": pods}),
        namespace_selectors().map(lambda namespaces: {"namespaceSelector": namespaces}),
        st.builds(
            lambda pods, namespaces: {"podSelector": pods, "namespaceSelector": namespaces},
            pod_selectors(),
            namespace_selectors(),
        ),
    )


def _rules(way: str) -> st.SearchStrategy[list[Json]]:
    ports = few(st.sampled_from(_PORTS))
    return few(st.fixed_dictionaries({}, optional={way: few(_peers()), "ports": ports}))


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
