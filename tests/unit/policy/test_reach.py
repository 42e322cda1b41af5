from __future__ import annotations

from ringfence.abi import Direction
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.ports import EVERYTHING
from ringfence.policy.reach import reach
from ringfence.traffic import Protocol

PODS = "".join(
    f"""---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: web, pod-template-hash: {name}}}}}
"""
    for name in ("one", "two")
)
POLICY = """---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: one, namespace: shop}
spec:
  endpointSelector: {matchLabels: {pod-template-hash: one}}
  ingress: [{}]
"""


def test_groups_of_one_name_are_told_apart() -> None:
    """Groups that differ only by labels that no name is made of are named by a member: a name is one group's."""
    nodes = reach(parse_documents([Source("shop.yaml", PODS + POLICY)])).nodes
    names = [each.name for each in nodes if each.kind == "workload"]
    assert ["shop/app=web (shop/one)", "shop/app=web (shop/two)"] == sorted(names)


FOR_NODES = """---
apiVersion: v1
kind: Node
metadata: {name: node, labels: {role: edge}}
status: {addresses: [{type: InternalIP, address: 10.0.0.250}]}
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: nodes}
spec:
  nodeSelector: {matchLabels: {role: edge}}
  ingress:
  - fromEntities: [world]
    toPorts: [{ports: [{port: "22", protocol: TCP}]}]
"""


def test_the_node_is_reached_as_policies_for_nodes_say() -> None:
    """What a policy for nodes isolates is reached from outside by its ports alone, and by its own workloads as ever."""
    found = reach(parse_documents([Source("shop.yaml", PODS + FOR_NODES)]))
    names = [each.name for each in found.nodes]
    ports = {(names[path.source], names[path.destination]): path.ports for path in found.paths}
    assert ((Protocol.TCP, 22, 22),) == ports["world", "node node"]
    assert (EVERYTHING,) == ports["shop/app=web", "node node"]
    assert {Direction.INGRESS} == found.nodes[names.index("node node")].isolated
