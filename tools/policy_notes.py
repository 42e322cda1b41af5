"""What the schema does not say of its fields: which are ignored and why, which values are refused, and which spec file
shows a field best, where it is not the one that uses the fewest.

Keys are `Model.field` or, for one kind, `Kind:Model.field`.
"""

from __future__ import annotations

from typing import Final

#: Every kind, in the order of the page, with a word on it.
TITLES: Final = {
    "CiliumNetworkPolicy": "Cilium's policies, for endpoints of one namespace and of all.",
    "CiliumCIDRGroup": "Prefixes under a name, for `cidrGroupRef` and `cidrGroupSelector`.",
    "NetworkPolicy": "Kubernetes' own policies.",
    "AdminNetworkPolicy": "Before all others, by `priority` and then by the order of its rules.",
    "BaselineAdminNetworkPolicy": "Behind all others, by the order of its rules.",
    "ClusterNetworkPolicy": "Before or behind all others, by `tier`, `priority` and the order of its rules.",
    "Namespace": "Labels of namespaces, for selectors that speak of them.",
    "Pod": "Workloads.",
    "Node": "The first node is the one that the workloads run on.",
    "PolicyTest": "What an author expects of policies; read by `ringfence policy test`.",
}
_TEXT: Final = "a text for people"
#: Fields that are checked and change no verdict.
IGNORED: Final = {
    "Spec.description": _TEXT,
    "Spec.labels": "labels of the policy itself; they select nothing",
    "Spec.log": "a text for log lines",
    "Log.value": "at most 32 printable characters",
    "PolicyLabel.key": _TEXT,
    "PolicyLabel.value": _TEXT,
    "PolicyLabel.source": _TEXT,
    "CiliumNetworkPolicy:Metadata.labels": "labels of the policy itself; they select nothing",
    "NetworkPolicy:Metadata.labels": "labels of the policy itself; they select nothing",
    "AdminNetworkPolicy:Metadata.labels": "labels of the policy itself; they select nothing",
    "BaselineAdminNetworkPolicy:Metadata.labels": "labels of the policy itself; they select nothing",
    "ClusterNetworkPolicy:Metadata.labels": "labels of the policy itself; they select nothing",
    "AdminIngress.name": _TEXT,
    "AdminEgress.name": _TEXT,
    "BaselineIngress.name": _TEXT,
    "BaselineEgress.name": _TEXT,
    "ClusterIngress.name": _TEXT,
    "ClusterEgress.name": _TEXT,
    "CiliumCIDRGroup:Metadata.namespace": "the kind has no namespaces",
    "AdminNetworkPolicy:Metadata.namespace": "the kind has no namespaces",
    "BaselineAdminNetworkPolicy:Metadata.namespace": "the kind has no namespaces",
    "ClusterNetworkPolicy:Metadata.namespace": "the kind has no namespaces",
    "Namespace:Metadata.namespace": "the kind has no namespaces",
    "Node:Metadata.namespace": "the kind has no namespaces",
    "Node:Metadata.labels": "no rule that is enforced speaks of them",
    "PolicyTest:Metadata.name": _TEXT,
    "PolicyTest:Metadata.namespace": "parties say their own",
    "PolicyTest:Metadata.labels": _TEXT,
    "PolicyTest:Metadata.annotations": _TEXT,
}
#: What is to be known of a field.
NOTES: Final = {
    "CiliumNetworkPolicy:Metadata.namespace": "`default` if absent; a clusterwide policy has none",
    "NetworkPolicy:Metadata.namespace": "`default` if absent",
    "Authentication.mode": "only `disabled`; [others are refused](../tests/spec/refused/authentication.yaml)",
    "PortProtocol.protocol": "TCP, UDP, SCTP or ANY; [others are refused](../tests/spec/refused/protocols.yaml)",
    "PortProtocol.port": "a number or the name that the destination gives it; 0 stands for all",
    "Destination.nodes": "only `{}`, all nodes; [labels are refused](../tests/spec/refused/anp-nodes-by-label.yaml)",
}
#: Spec files that show a field better than the shortest that has it.
SHOWN: Final = {
    "Spec.endpointSelector": "empty-endpoint-selector",
    "Spec.ingress": "ingress-isolates",
    "Spec.ingressDeny": "deny-over-allow",
    "Spec.egress": "egress-isolates",
    "LabelSelector.matchLabels": "all-requirements-hold",
    "LabelSelector.matchExpressions": "match-expressions",
    "Expression.operator": "match-expressions",
    "Ingress.fromEndpoints": "empty-peers",
    "Ingress.fromEntities": "entity-all",
    "Ingress.toPorts": "absent-peers",
    "PortProtocol.port": "port-specificity",
    "PortProtocol.endPort": "port-range",
    "PortProtocol.protocol": "port-any-protocol",
    "IcmpField.type": "icmp-types",
    "AdminSpec.priority": "anp-priority",
    "ClusterSpec.tier": "cluster-policy-tiers",
    "ClusterSpec.priority": "cluster-policy-priority",
}
