from __future__ import annotations

from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.reach import reach

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
