from __future__ import annotations

from ipaddress import ip_address

import pytest

from ringfence.errors import BadInput
from ringfence.lab.plan import NODE_ADDRESSES, Plan, plan, prefix


def pod(name: str, *, ip: str | None = None, ports: str = "", namespace: str = "shop", extra: str = "") -> str:
    status = f"status: {{podIP: '{ip}'}}\n" if ip else ""
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\n"
        f"spec: {{containers: [{{name: c, ports: [{ports}]}}]{extra}}}\n{status}---\n"
    )


def planned(*texts: str) -> Plan:
    return plan("lab", [("lab.yaml", "".join(texts))])


def test_a_pod_becomes_a_namespace_and_a_wire() -> None:
    """A pod keeps its address, is named after lab, namespace and name, and serves the ports that it declares."""
    made = planned(pod("web", ip="10.0.0.7", ports="{containerPort: 80}, {containerPort: 53, protocol: UDP}"))
    [web] = made.pods
    assert web.name == "shop/web"
    assert web.wire.namespace == "rf-lab.shop.web"
    assert web.wire.addresses == (ip_address("10.0.0.7"),)
    assert made.services() == [("rf-lab.shop.web", "TCP", 80), ("rf-lab.shop.web", "UDP", 53)]
    assert made.node == "rf-lab.node"
    assert made.node_addresses == NODE_ADDRESSES


def test_a_pod_has_the_labels_of_its_namespace_too() -> None:
    """Labels are the pod's own, its namespace and its namespace's labels."""
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: blue}}\n---\n"
    [web] = planned(namespace, pod("web")).pods
    assert set(web.labels) == {
        "k8s:app=web",
        "k8s:io.kubernetes.pod.namespace=shop",
        "k8s:io.cilium.k8s.namespace.labels.team=blue",
    }


def test_addresses_are_given_where_none_are_written() -> None:
    """A pod without an address gets one of each family, and never one that another pod has written down."""
    free, taken = planned(pod("free"), pod("taken", ip="10.244.0.1")).pods
    assert free.wire.addresses == (ip_address("10.244.0.2"), ip_address("fd52:4600:0:1::1"))
    assert taken.wire.addresses == (ip_address("10.244.0.1"),)


def test_the_same_manifests_give_the_same_plan() -> None:
    """`probe` finds what `up` has made by planning once more."""
    texts = [pod(name) for name in ("a", "b", "c")]
    assert planned(*texts) == planned(*texts)


def test_a_port_without_sockets_is_told_apart() -> None:
    """SCTP is not served, but not forgotten either."""
    [web] = planned(pod("web", ports="{containerPort: 9, protocol: SCTP}")).pods
    assert (web.services, web.unserved) == ((), ("9/SCTP",))


def test_a_pod_of_the_hosts_network_is_no_workload() -> None:
    """A hostNetwork pod shares the node's identity, so it is left out."""
    assert [each.name for each in planned(pod("web"), pod("cni", extra=", hostNetwork: true")).pods] == ["shop/web"]


def test_the_node_has_the_addresses_of_the_one_node() -> None:
    """A Node among the manifests says the node's addresses."""
    node = (
        "apiVersion: v1\nkind: Node\nmetadata: {name: n}\n"
        "status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}\n---\n"
    )
    assert planned(node, pod("web")).node_addresses == (ip_address("192.0.2.1"),)


def test_pods_of_one_name_or_address_are_refused() -> None:
    """Every pod that cannot be wired is told with its place."""
    with pytest.raises(BadInput) as caught:
        planned(pod("a", ip="10.0.0.1"), pod("b", ip="10.0.0.1"), pod("a", ip="10.0.0.2"))
    assert [problem.found for problem in caught.value.problems] == ["10.0.0.1 for shop/b", "Pod/shop/a once more"]


def test_no_pods_is_bad_input() -> None:
    """Manifests without a pod make no lab."""
    with pytest.raises(BadInput, match="no Pod"):
        planned("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")


@pytest.mark.parametrize("name", ["", "a.b", "A", "-a", "a/b", "x" * 33])
def test_a_name_that_could_reach_beyond_the_lab_is_refused(name: str) -> None:
    """A lab's name is part of paths and of a prefix by which things are removed."""
    with pytest.raises(BadInput):
        prefix(name)


def test_no_labs_prefix_is_that_of_another() -> None:
    """Taking down `lab` leaves `lab-2` alone."""
    assert not f"{prefix('lab-2')}node".startswith(prefix("lab"))
