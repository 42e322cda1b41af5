from __future__ import annotations

import pytest

from ringfence.abi import Tier, Verdict
from ringfence.errors import BadInput
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Policy

V1 = "apiVersion: policy.networking.k8s.io/v1alpha1"
V2 = "apiVersion: policy.networking.k8s.io/v1alpha2"
RULE = "{action: Deny, from: [{namespaces: {}}]}"


def anp(body: str, head: str = "priority: 5, subject: {namespaces: {}}") -> str:
    return f"{V1}\nkind: AdminNetworkPolicy\nmetadata: {{name: p}}\nspec: {{{head}, {body}}}\n"


def banp(body: str, name: str = "default") -> str:
    head = f"{V1}\nkind: BaselineAdminNetworkPolicy\nmetadata: {{name: {name}}}\n"
    return f"{head}spec: {{subject: {{namespaces: {{}}}}, {body}}}"


def cluster(body: str, tier: str = "Admin") -> str:
    head = f"tier: {tier}, priority: 7, subject: {{namespaces: {{}}}}"
    return f"{V2}\nkind: ClusterNetworkPolicy\nmetadata: {{name: p}}\nspec: {{{head}, {body}}}\n"


def read(text: str) -> Policy:
    return parse_documents([Source("a.yaml", text)]).policies[0]


def problems(text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse_documents([Source("a.yaml", text)])
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (anp("ingress: []", "priority: 1001, subject: {namespaces: {}}"),
         "4:18: the number 1001 in spec.priority; expected at most 1000"),
        (anp("ingress: []", "subject: {namespaces: {}}"), "a.yaml:4:7: no 'priority' in spec"),
        (anp("ingress: []", "priority: 5, subject: {}"), "4:30: an empty mapping; expected one of namespaces, pods"),
        (anp("ingress: [{action: Accept, from: [{namespaces: {}}]}]"), "4:67: 'Accept' in spec.ingress[0].action"),
        (anp("ingress: [{action: Deny, from: []}]"), "4:79: a list in spec.ingress[0].from; expected a length from 1"),
        (anp("ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}]}]"), "unknown field 'networks'"),
        (anp("egress: [{action: Deny, to: [{namespaces: {}, nodes: {}}]}]"), "namespaces together with nodes"),
        (anp("egress: [{action: Allow, to: [{domainNames: [a.b]}]}]"),
         "domainNames (domain names as peers), which Ringfence"),
        (anp("egress: [{action: Deny, to: [{nodes: {matchLabels: {a: b}}}]}]"),
         "nodes by label, which Ringfence does not"),
        (anp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}], ports: [{namedPort: http}]}]"),
         "a port by name for nodes"),
        (anp("ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portNumber: {port: 0}}]}]"), "the number 0"),
        (anp("ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portRange: {start: 9, end: 9}}]}]"),
         "ends at 9"),
        (anp(f"ingress: [{', '.join([RULE] * 101)}]"), "a list in spec.ingress; expected a length up to 100"),
        (banp("ingress: [{action: Pass, from: [{namespaces: {}}]}]"), "'Pass' in spec.ingress[0].action"),
        (banp("ingress: []", "other"), "a.yaml:3:18: 'other'; expected default"),
        (cluster("ingress: [{action: Allow, from: [{namespaces: {}}]}]"), "'Allow' in spec.ingress[0].action"),
        (cluster(f"ingress: [{', '.join([RULE] * 26)}]"), "a length up to 25"),
        (cluster("ingress: []", "Normal"), "'Normal' in spec.tier; expected 'Admin' or 'Baseline'"),
        (cluster("ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {}}]}]"),
         "no 'destinationPort'"),
        (cluster("ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{udp: null, tcp: null}]}]"),
         "together"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_its_place(text: str, problem: str) -> None:
    """What the API's own validation refuses, and what Ringfence does not enforce, is refused with file and line."""
    found = problems(text)
    assert any(problem in each for each in found), found


def test_rules_are_ordered_in_their_direction() -> None:
    """Tier and priority are the policy's, the order is that of the list; none isolates."""
    body = "ingress: [{action: Pass, from: [{namespaces: {}}]}, {action: Deny, from: [{namespaces: {}}]}], "
    rules = read(anp(body + "egress: [{action: Allow, to: [{networks: [10.0.0.0/8]}]}]")).rules
    assert [(rule.tier, rule.priority, rule.order, rule.verdict) for rule in rules] == [
        (Tier.ADMIN, 5, 0, Verdict.PASS),
        (Tier.ADMIN, 5, 1, Verdict.DENY),
        (Tier.ADMIN, 5, 0, Verdict.ALLOW),
    ]
    assert not any(rule.default_deny for rule in rules)
    assert rules[0].precedence > rules[1].precedence


def test_a_pass_out_of_the_last_tier_allows() -> None:
    """Behind the Baseline comes only the default, which allows."""
    rule = read(cluster("ingress: [{action: Pass, from: [{namespaces: {}}]}]", "Baseline")).rules[0]
    assert (rule.tier, rule.verdict) == (Tier.BASELINE, Verdict.ALLOW)


def test_bounds_are_inside() -> None:
    """Priorities 0 and 1000, a hundred rules and a name of a hundred letters are in order."""
    name = "x" * 100
    for priority in (0, 1000):
        rules = ", ".join([RULE] * 99 + [f"{{name: {name}, action: Deny, from: [{{namespaces: {{}}}}]}}"])
        text = anp(f"ingress: [{rules}]", f"priority: {priority}, subject: {{namespaces: {{}}}}")
        assert len(read(text).rules) == 100
