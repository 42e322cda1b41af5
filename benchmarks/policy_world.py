"""A world of 1,000 workloads in 20 namespaces under 1,000 policies of 4,000 rules, as manifests, for what answers
questions about policies. Each workload lets its tier in its namespace in on two ports and a prefix from outside on all,
and may speak to its tier and to DNS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

COUNT: Final = 1000
NAMESPACES: Final = 20
TIERS: Final = 7
PORTS: Final = (80, 443)


def namespace(index: int) -> str:
    """Where the workload of that number lives."""
    return f"ns{index % NAMESPACES}"


def address(index: int) -> str:
    """Its address."""
    return f"10.{index // 250}.{index % 250}.1"


def labels(index: int) -> dict[str, str]:
    """Its labels, those of the namespace left out."""
    return {"app": f"a{index}", "tier": f"t{index % TIERS}", "instance": f"i{index}"}


def manifests(changed: int = 0) -> str:
    """All workloads and policies as one text. So many of the policies, spread evenly, let in on 8443 instead of 443."""
    spread = {index * COUNT // changed for index in range(changed)} if changed else set()
    return "---\n".join([*_workloads(), *_policies(spread)])


def _workloads() -> Iterator[str]:
    for index in range(COUNT):
        told = ", ".join(f"{key}: {value}" for key, value in labels(index).items())
        yield f"""
apiVersion: v1
kind: Pod
metadata: {{name: p{index}, namespace: {namespace(index)}, labels: {{{told}}}}}
status: {{podIP: {address(index)}}}
"""


def _policies(changed: set[int]) -> Iterator[str]:
    for index in range(COUNT):
        port = 8443 if index in changed else PORTS[1]
        yield f"""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: p{index}, namespace: {namespace(index)}}}
spec:
  endpointSelector: {{matchLabels: {{app: a{index}}}}}
  ingress:
  - fromEndpoints: [{{matchLabels: {{tier: t{index % TIERS}}}}}]
    toPorts: [{{ports: [{{port: "{PORTS[0]}", protocol: TCP}}, {{port: "{port}", protocol: TCP}}]}}]
  - fromCIDR: [10.{index % 250}.0.0/16]
  egress:
  - toEndpoints: [{{matchLabels: {{tier: t{index % TIERS}}}}}]
  - toEndpoints: [{{matchLabels: {{k8s-app: kube-dns, io.kubernetes.pod.namespace: kube-system}}}}]
    toPorts: [{{ports: [{{port: "53", protocol: UDP}}]}}]
"""
