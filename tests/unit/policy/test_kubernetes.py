from __future__ import annotations

import pytest

from ringfence.abi import Direction
from ringfence.errors import BadInput
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Rule

HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n"


def rules(spec: str) -> tuple[Rule, ...]:
    return parse_documents([Source("np.yaml", f"{HEAD}spec: {spec}\n")]).policies[0].rules


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("{ingress: [{from: [{}]}]}", "4:26: an empty peer; expected podSelector, namespaceSelector or ipBlock"),
        ("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}",
         "4:36: ipBlock together with a selector; expected one of them in a peer"),
        ("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]}",
         "4:64: except 11.0.0.0/8; expected a prefix inside 10.0.0.0/8"),
        ("{ingress: [{ports: [{port: 0}]}]}", "4:34: port 0; expected a port, 1 to 65535"),
        ("{ingress: [{ports: [{port: 'a b'}]}]}", "4:34: port 'a b'; expected a port, 0 to 65535, or its name"),
        ("{ingress: [{ports: [{port: http, endPort: 90}]}]}", "4:49: endPort 90; expected a port from port, a number"),
        ("{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: http}]}]}",
         "4:33: ipBlock together with a port"),
        ("{ingress: [{ports: [{port: 80, endPort: 79}]}]}", "4:47: endPort 79; expected a port from 80"),
        ("{ingress: [{ports: [{endPort: 79}]}]}", "4:37: endPort 79; expected a port from port"),
        ("{ingress: [{ports: [{port: 80, protocol: ICMP}]}]}", "4:48: 'ICMP' in spec.ingress[0].ports[0].protocol"),
        ("{policyTypes: [ingress]}", "4:22: 'ingress' in spec.policyTypes[0]; expected 'Ingress' or 'Egress'"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_its_place(spec: str, problem: str) -> None:
    """One line says where, what was found, and what was expected there."""
    with pytest.raises(BadInput) as caught:
        rules(spec)
    (found,) = caught.value.problems
    assert str(found).startswith(f"np.yaml:{problem}")


def test_a_direction_without_rules_still_isolates() -> None:
    """A policy without rules is one rule that allows nobody, and the node's way in."""
    closed, node = rules("{podSelector: {}}")
    assert (closed.direction, str(closed.peers), closed.default_deny) == (Direction.INGRESS, "nobody", True)
    assert (node.direction, str(node.peers), node.default_deny) == (Direction.INGRESS, "reserved:host", False)


def test_keys_are_kubernetes_labels() -> None:
    """Selectors mean labels that Kubernetes gave, in the policy's own namespace."""
    (rule, _) = rules("{podSelector: {matchLabels: {app: web}}}")
    assert str(rule.subject) == "k8s:app=web, k8s:io.kubernetes.pod.namespace=default"
