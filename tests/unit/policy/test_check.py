from __future__ import annotations

import pytest

from ringfence.errors import BadInput
from ringfence.policy.check import check
from ringfence.policy.findings import Finding, Kind, distance, nearest
from ringfence.policy.parse import Source

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec:
  containers:
  - {name: main, ports: [{containerPort: 80, name: http}, {containerPort: 53, name: dns, protocol: UDP}]}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
status: {podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: bank, labels: {app: job}}
---
"""
DNS = "{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}"


def network_policy(body: str, name: str = "np", pods: str = "{matchLabels: {app: web}}") -> str:
    """A NetworkPolicy in shop; `body` is what stands under its spec besides the pods."""
    head = f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}"
    return f"{head}\nspec:\n  podSelector: {pods}\n  {body}\n---\n"


def cilium(body: str, name: str = "cnp", pods: str = "{matchLabels: {app: web}}", version: str = "v2") -> str:
    """A CiliumNetworkPolicy in shop."""
    head = f"apiVersion: cilium.io/{version}\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}"
    return f"{head}\nspec:\n  endpointSelector: {pods}\n  {body}\n---\n"


def admin(rules: str, priority: int = 10) -> str:
    """An AdminNetworkPolicy for all namespaces."""
    head = f"apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {{name: a{priority}}}"
    return f"{head}\nspec:\n  priority: {priority}\n  subject: {{namespaces: {{}}}}\n  ingress: {rules}\n---\n"


def found(kind: Kind, policies: str, pods: str = PODS) -> list[Finding]:
    """The findings of a kind, for policies beside pods."""
    return [each for each in check([Source("pods.yaml", pods), Source("p.yaml", policies)]) if each.kind == kind]


def told(kind: Kind, policies: str, pods: str = PODS) -> str:
    """The one finding of a kind, in a line."""
    (finding,) = found(kind, policies, pods)
    return str(finding)


def test_a_subject_that_selects_nothing() -> None:
    """A policy whose selector no workload meets is found at the selector, with the label most like it."""
    policy = network_policy("ingress: [{from: [{podSelector: {}}]}]", pods="{matchLabels: {app: wbe}}")
    line = told(Kind.SELECTS_NOTHING, policy)
    assert line.startswith("p.yaml:5:16: warning RF101 selects-nothing: protects no workload: none has k8s:app=wbe")
    assert "(nearest: app=web)" in line


def test_a_peer_that_selects_nothing() -> None:
    """A peer is found where it stands; a key that no workload has is told with the key most like it."""
    policy = network_policy("ingress: [{from: [{podSelector: {}}, {podSelector: {matchLabels: {teir: front}}}]}]")
    line = told(Kind.SELECTS_NOTHING, policy)
    assert line.startswith("p.yaml:6:40: warning RF101")
    assert "selects no workload: none has k8s:teir=front (nearest: tier=front)" in line


def test_a_peer_of_another_namespace() -> None:
    """Where labels fit in another namespace only, that is what is told."""
    policy = cilium("ingress: [{fromEndpoints: [{matchLabels: {app: job}}]}]")
    assert "bank/job would in their own namespace" in told(Kind.SELECTS_NOTHING, policy)


@pytest.mark.parametrize(
    "policy",
    [
        network_policy("ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]"),
        cilium("ingress: [{fromEndpoints: [{matchLabels: {'reserved:health': ''}}]}]"),
        cilium("ingress: [{fromEntities: [ingress]}]"),
        admin("[{name: x, action: Deny, from: [{pods: {podSelector: {matchLabels: {app: job}}}}]}]"),
    ],
)
def test_selectors_that_select_somebody(policy: str) -> None:
    """What selects a workload of any kind, or means no workloads, is no finding."""
    assert found(Kind.SELECTS_NOTHING, policy) == []


def test_without_pods_nothing_is_said_of_them() -> None:
    """Policies alone have no findings that only workloads can show."""
    policy = network_policy("ingress: [{from: [{podSelector: {}}], ports: [{port: http}]}]", pods="{}")
    policy += cilium("ingress: [{fromCIDR: [10.0.0.0/8]}]")
    kinds = {Kind.SELECTS_NOTHING, Kind.UNKNOWN_PORT_NAME, Kind.CIDR_IGNORES_WORKLOADS}
    assert not kinds & {finding.kind for finding in check([Source("p.yaml", policy)])}


def test_an_allow_under_a_deny_never_decides() -> None:
    """A rule of which a stronger one takes every packet is found, with what hides it."""
    policy = cilium("ingress: [{fromEndpoints: [{matchLabels: {app: db}}]}]\n  ingressDeny: [{fromEndpoints: [{}]}]")
    line = told(Kind.NEVER_DECIDES, policy)
    assert line.startswith("p.yaml:6:13: warning RF102 never-decides: hidden by CiliumNetworkPolicy/shop/cnp, p.yaml:7")


def test_rules_under_an_admin_policy_never_decide() -> None:
    """What an AdminNetworkPolicy decides for everybody hides the rules of workloads and its own later ones."""
    first = "{name: first, action: Deny, from: [{namespaces: {}}]}"
    later = "{name: later, action: Allow, from: [{pods: {podSelector: {matchLabels: {app: db}}}}]}"
    policy = admin(f"[{first}, {later}]") + network_policy(
        "ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]"
    )
    lines = list(map(str, found(Kind.NEVER_DECIDES, policy)))
    assert len(lines) == 2
    assert all("hidden by AdminNetworkPolicy//a10, p.yaml:7 (deny)" in line for line in lines)


@pytest.mark.parametrize(
    "policy",
    [
        # The deny leaves some of the allowed traffic.
        cilium("ingress: [{fromEndpoints: [{matchLabels: {app: db}}]}]\n"
               "  ingressDeny: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80'}]}]}]"),
        # All workloads of today are denied, but not whoever else has the label.
        cilium("ingress: [{fromEndpoints: [{matchLabels: {tier: front}}]}]\n"
               "  ingressDeny: [{fromEndpoints: [{matchLabels: {app: web}}]}]"),
        # A pass leaves it to the next tier.
        admin("[{name: x, action: Pass, from: [{namespaces: {}}]}]")
        + network_policy("ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]"),
        # A pass decides that what comes behind it in its tier is not asked.
        admin("[{name: x, action: Pass, from: [{pods: {podSelector: {matchLabels: {app: db}}}}]},"
              " {name: y, action: Deny, from: [{namespaces: {}}]}]"),
        # Twice the same decides twice.
        network_policy("ingress: [{ports: [{port: 80}]}, {ports: [{port: 80}]}]"),
    ],
)  # fmt: skip
def test_rules_that_decide_something(policy: str) -> None:
    """A rule that decides a packet that could come is no finding."""
    assert found(Kind.NEVER_DECIDES, policy) == []


def test_egress_without_dns() -> None:
    """Workloads that may reach somebody, but no server of names, are found at the list of rules."""
    line = told(Kind.CUTS_OFF_DNS, network_policy("egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]"))
    assert line.startswith("p.yaml:6:3: warning RF103 cuts-off-dns: shop/web may send, but to no DNS server")


@pytest.mark.parametrize(
    "rules",
    [
        f"[{{to: [{{podSelector: {{matchLabels: {{app: db}}}}}}]}}, {DNS}]",
        "[{to: [{namespaceSelector: {}}]}]",
        "[{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]",
        "[{ports: [{port: 1, endPort: 65535, protocol: UDP}]}]",
        "[{}]",
    ],
)
def test_egress_with_dns(rules: str) -> None:
    """Port 53 by name of port, the cluster's server, the whole world or everything: names are answered."""
    assert found(Kind.CUTS_OFF_DNS, network_policy(f"egress: {rules}")) == []


def test_dns_may_be_allowed_by_another_policy() -> None:
    """What counts is all policies of a workload together; and who may send nothing needs no names."""
    cut = network_policy("egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]")
    assert found(Kind.CUTS_OFF_DNS, cut + network_policy(f"egress: [{DNS}]", name="dns", pods="{}")) == []
    assert found(Kind.CUTS_OFF_DNS, network_policy("policyTypes: [Egress]")) == []
    assert found(Kind.CUTS_OFF_DNS, cut, pods="")


def test_an_empty_from_allows_everybody() -> None:
    """An empty `from` is a warning at its key; a missing one is worth knowing."""
    line = told(Kind.ALLOWS_EVERYBODY, network_policy("ingress: [{from: [], ports: [{port: 80}]}]"))
    assert line.startswith("p.yaml:6:14: warning RF104 allows-everybody: `from` is empty and so means everybody")
    assert "info RF104" in told(Kind.ALLOWS_EVERYBODY, network_policy("ingress: [{ports: [{port: 80}]}]"))
    ports = "toPorts: [{ports: [{port: '80'}]}]"
    assert "info RF104" in told(Kind.ALLOWS_EVERYBODY, cilium(f"ingress: [{{{ports}}}]"))
    assert found(Kind.ALLOWS_EVERYBODY, cilium(f"ingress: [{{fromEntities: [all], {ports}}}]")) == []
    assert found(Kind.ALLOWS_EVERYBODY, network_policy("ingress: [{from: [{podSelector: {}}]}]")) == []


def test_an_empty_list_of_ciliums_means_nobody() -> None:
    """`fromEndpoints: []` is the opposite of `from: []`, and is told; an empty selector is not empty."""
    line = told(Kind.MEANS_NOBODY, cilium("ingress: [{fromEndpoints: []}]"))
    assert line.startswith("p.yaml:6:14: warning RF105 means-nobody: `fromEndpoints` is empty")
    assert found(Kind.MEANS_NOBODY, cilium("ingress: [{fromEndpoints: [{}]}, {}]")) == []


def test_exceptions_that_remove_everything() -> None:
    """Exceptions that make up the whole prefix, together too, leave nothing: an error."""
    block = "{cidr: 192.0.2.0/24, except: [192.0.2.0/25, 192.0.2.128/25]}"
    line = told(Kind.EXCEPT_REMOVES_ALL, network_policy(f"ingress: [{{from: [{{ipBlock: {block}}}]}}]"))
    assert line.startswith("p.yaml:6:52: error RF106 except-removes-all: the exceptions take all of 192.0.2.0/24 away")
    assert found(Kind.EXCEPT_REMOVES_ALL, cilium(f"ingress: [{{fromCIDRSet: [{block}]}}]"))
    part = "{cidr: 192.0.2.0/24, except: [192.0.2.0/25]}"
    assert found(Kind.EXCEPT_REMOVES_ALL, network_policy(f"ingress: [{{from: [{{ipBlock: {part}}}]}}]")) == []


def test_a_port_name_that_no_container_has() -> None:
    """A name is looked for where packets go: at the subject for ingress, at the peer for egress."""
    line = told(Kind.UNKNOWN_PORT_NAME, network_policy("ingress: [{ports: [{port: htpp}]}]"))
    assert line.startswith(
        "p.yaml:6:29: warning RF107 unknown-port-name: no container of shop/web calls a port htpp/TCP"
    )
    assert "(they have http)" in line
    egress = "egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: http}]}]"
    assert "(they name no ports)" in told(Kind.UNKNOWN_PORT_NAME, network_policy(egress))
    assert "dns/TCP" in told(Kind.UNKNOWN_PORT_NAME, network_policy("ingress: [{ports: [{port: dns}]}]"))
    assert found(Kind.UNKNOWN_PORT_NAME, network_policy("ingress: [{ports: [{port: http}]}]")) == []
    assert found(Kind.UNKNOWN_PORT_NAME, network_policy("ingress: [{ports: [{port: dns, protocol: UDP}]}]")) == []


def test_prefixes_that_cover_workloads() -> None:
    """A prefix of Cilium's kinds with workloads' addresses is found; one without, or of Kubernetes' kind, is not."""
    line = told(Kind.CIDR_IGNORES_WORKLOADS, cilium("ingress: [{fromCIDR: [192.0.2.0/24, 10.0.0.0/8]}]"))
    assert line.startswith("p.yaml:6:39: warning RF108 cidr-ignores-workloads: 10.0.0.0/8 has the addresses of shop/db")
    assert "info RF108" in told(Kind.CIDR_IGNORES_WORKLOADS, cilium("egress: [{toCIDR: [0.0.0.0/0]}]"))
    without = "{cidr: 10.0.0.0/8, except: [10.0.0.0/30]}"
    assert found(Kind.CIDR_IGNORES_WORKLOADS, cilium(f"ingress: [{{fromCIDRSet: [{without}]}}]")) == []
    block = "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]"
    assert found(Kind.CIDR_IGNORES_WORKLOADS, network_policy(block)) == []


def test_the_same_rule_twice() -> None:
    """A rule that another policy, or the same, says as well is found at the second place."""
    rule = "ingress: [{from: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 80}]}]"
    line = told(Kind.DUPLICATE_RULE, network_policy(rule) + network_policy(rule, name="other"))
    assert line.startswith(
        "p.yaml:13:13: warning RF109 duplicate-rule: the same rule as in p.yaml:6 (NetworkPolicy/shop/np)"
    )
    other = rule.replace("80", "81")
    assert found(Kind.DUPLICATE_RULE, network_policy(rule) + network_policy(other, name="other")) == []


def test_the_same_policy_twice_is_bad_input() -> None:
    """Two documents of one kind, namespace and name cannot both be meant: both places are named."""
    policy = network_policy("ingress: []")
    with pytest.raises(BadInput, match=r"NetworkPolicy/shop/np once more.* p\.yaml:1"):
        check([Source("p.yaml", policy * 2)])


def test_what_is_deprecated() -> None:
    """Old versions, fields that were given up and kinds that were superseded are found; current ones are not."""
    line = told(Kind.DEPRECATED, cilium("ingress: [{fromEndpoints: [{}]}]", version="v2alpha1"))
    assert line.startswith(
        "p.yaml:1:13: warning RF110 deprecated: apiVersion cilium.io/v2alpha1 instead of cilium.io/v2"
    )
    assert "`fromRequires`" in told(Kind.DEPRECATED, cilium("ingress: [{fromRequires: [], fromEndpoints: [{}]}]"))
    assert "info RF110" in told(Kind.DEPRECATED, admin("[{name: x, action: Deny, from: [{namespaces: {}}]}]"))
    assert found(Kind.DEPRECATED, cilium("ingress: [{fromEndpoints: [{}]}]")) == []


def test_items_of_lists_have_their_own_places() -> None:
    """Policies inside a List are found where they stand in it."""
    policy = network_policy("ingress: [{from: []}]").removesuffix("---\n")
    indented = "\n".join(f"  {line}" for line in policy.splitlines())
    (finding,) = found(Kind.ALLOWS_EVERYBODY, f"apiVersion: v1\nkind: List\nitems:\n-\n{indented}\n")
    assert (finding.line, finding.column) == (10, 16)


def test_specs_are_read_each_for_itself() -> None:
    """Every one of `specs` has a subject and rules of its own."""
    head = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: s, namespace: shop}\nspecs:\n"
    good = "- endpointSelector: {matchLabels: {app: web}}\n  ingress: [{fromEndpoints: [{}]}]\n"
    (finding,) = found(Kind.SELECTS_NOTHING, head + good + good.replace("web", "wbe"))
    assert (finding.line, finding.column) == (7, 21)


def test_findings_have_one_line_a_code_and_a_reason() -> None:
    """Codes and names are each used once, and every finding says why it matters."""
    assert len({kind.code for kind in Kind}) == len({kind.title for kind in Kind}) == len(Kind)
    assert all(kind.why for kind in Kind)


def test_distance_counts_letters() -> None:
    """Letters put in, taken out, exchanged and swapped count one each."""
    cases = [("web", "web", 0), ("web", "wbe", 1), ("web", "we", 1), ("web", "webs", 1), ("kitten", "sitting", 3)]
    assert [distance(one, other) for one, other, _ in cases] == [count for *_, count in cases]
    assert nearest("frontnd", ["frontend", "backend", "db"]) == ["frontend"]


SERVICES = """
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {selector: {app: db}}}
---
{apiVersion: v1, kind: Service, metadata: {name: empty, namespace: shop}, spec: {}}
---
"""


def test_a_service_that_is_not_there() -> None:
    """A rule that names no service, or one that leads nowhere, is found where it does; the nearest name is told."""
    policy = cilium("egress: [{toServices: [{k8sService: {serviceName: dbs, namespace: shop}}]}]")
    line = told(Kind.MEANS_NO_SERVICE, policy + SERVICES)
    assert line.startswith("p.yaml:6:26: warning RF111 means-no-service: no service shop/dbs is there")
    assert "(nearest: shop/db)" in line
    empty = cilium("egress: [{toServices: [{k8sService: {serviceName: empty, namespace: shop}}]}]")
    assert "has neither a selector nor a slice" in told(Kind.MEANS_NO_SERVICE, empty + SERVICES)
    fine = cilium("egress: [{toServices: [{k8sService: {serviceName: db, namespace: shop}}]}]")
    assert found(Kind.MEANS_NO_SERVICE, fine + SERVICES) == []


def test_without_services_nothing_is_said_of_them() -> None:
    """Policies that come without the services that they name are no mistake."""
    assert found(Kind.MEANS_NO_SERVICE, cilium("egress: [{toServices: [{k8sService: {serviceName: db}}]}]")) == []
