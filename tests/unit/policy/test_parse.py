from __future__ import annotations

import textwrap

import pytest

from ringfence.errors import BadInput
from ringfence.policy.parse import Parsed, Source, parse_documents

HEAD = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p}
spec:
  endpointSelector: {}
"""


def parse(text: str, *, strict: bool = True) -> Parsed:
    return parse_documents([Source("web.yaml", text)], strict=strict)


def problems(text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    return [str(problem) for problem in caught.value.problems]


def spec(rules: str) -> str:
    return HEAD + textwrap.indent(textwrap.dedent(rules).strip(), "  ") + "\n"


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ("ingres: []", "6:3: unknown field 'ingres' in spec; expected ingress"),
        ("ingress: {}", "6:12: a mapping in spec.ingress; expected a list"),
        ("ingress: [web]", "6:13: 'web' in spec.ingress[0]; expected a mapping"),
        ("ingress: [{fromEndpoints: [{matchLabels: {app: 3}}]}]",
         "6:50: the number 3 in spec.ingress[0].fromEndpoints[0].matchLabels.app; expected a text (put it in quotes)"),
        ("ingress: [{toPorts: [{ports: [{port: 65536}]}]}]", "6:40: port 65536; expected a port, 0 to 65535"),
        ('ingress: [{toPorts: [{ports: [{port: "-1"}]}]}]', "6:40: port '-1'; expected a port, 0 to 65535"),
        ('ingress: [{toPorts: [{ports: [{port: "80", endPort: 79}]}]}]',
         "6:55: endPort 79; expected a port from 80, where the range starts, to 65535"),
        ('ingress: [{toPorts: [{ports: [{port: "80", protocol: TPC}]}]}]',
         "6:56: 'TPC' in spec.ingress[0].toPorts[0].ports[0].protocol; expected '', 'ANY', 'TCP', 'UDP' or 'SCTP'"),
        ("ingress: [{toPorts: [{ports: []}]}]", "6:32: an empty list of ports; expected at least one port"),
        ("ingress: [{fromCIDR: [10.0.0.0/33]}]",
         "6:25: '10.0.0.0/33'; expected a prefix such as 10.0.0.0/8 or fd00::/8"),
        ("ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/8]}]}]",
         "6:69: except 11.0.0.0/8; expected a prefix inside 10.0.0.0/8"),
        ("ingress: [{fromCIDRSet: [{except: [10.1.0.0/16]}]}]",
         "6:28: no prefix; expected one of cidr, cidrGroupRef, cidrGroupSelector"),
        ("ingress: [{fromEntities: [wrld]}]",
         "6:29: 'wrld' in spec.ingress[0].fromEntities[0]; expected 'all', 'world', 'world-ipv4', 'world-ipv6', "),
        ("ingress: [{fromEntities: [world], fromCIDR: [10.0.0.0/8]}]",
         "6:28: fromCIDR together with fromEntities; expected one of them in a rule"),
        ('ingress: [{toPorts: [{ports: [{port: "80"}]}], icmps: [{fields: [{type: 8}]}]}]',
         "6:57: toPorts together with icmps; expected one of them in a rule"),
        ("ingress: [{icmps: [{fields: [{type: 256}]}]}]", "6:39: ICMP type 256 of IPv4; expected 0 to 255 or one of "),
        ("ingress: [{fromEndpoints: [{matchExpressions: [{key: a, operator: In}]}]}]",
         "6:69: In without values; expected at least one value"),
        ("egress: [{toServices: [{k8sService: {}}]}]", "6:39: no 'serviceName' in "),
        ("egress: [{toServices: [{}]}]", "6:26: no service; expected one of k8sService, k8sServiceSelector"),
        ("egress: [{toServices: [{k8sService: {serviceName: a}, k8sServiceSelector: {selector: {}}}]}]",
         "6:77: k8sService together with k8sServiceSelector; expected one of k8sService, k8sServiceSelector"),
        ("egress: [{toServices: [{k8sService: {serviceName: a}}], toEntities: [world]}]",
         "6:25: toEntities together with toServices; expected one of them in a rule"),
        ("description: nothing else",
         "5:3: a rule without ingress, ingressDeny, egress and egressDeny; expected at least one of them"),
        ("ingress: []\nlog: {value: 0123456789012345678901234567890123}", "7:16: "),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_its_place(rules: str, problem: str) -> None:
    """One line says where, what was found, and what was expected there."""
    found = problems(spec(rules))
    assert len(found) == 1
    assert found[0].startswith(f"web.yaml:{problem}")


@pytest.mark.parametrize(
    ("rules", "place", "field"),
    [
        ('ingress: [{toPorts: [{ports: [{port: "80"}], rules: {http: [{}]}}]}]', "6:48", "rules"),
        ('ingress: [{toPorts: [{ports: [{port: "80"}], terminatingTLS: {a: b}}]}]', "6:48", "terminatingTLS"),
        ('egress: [{toPorts: [{ports: [{port: "80"}], serverNames: [a.b]}]}]', "6:47", "serverNames"),
        ('egress: [{toPorts: [{ports: [{port: "80"}], listener: {name: x}}]}]', "6:47", "listener"),
        ("egress: [{toFQDNs: [{matchName: a.b}]}]", "6:13", "toFQDNs"),
        ('egress: [{toFQDNs: [], toPorts: [{ports: [{port: "80"}]}]}]', "6:13", "toFQDNs"),
        ("egress: [{toGroups: [{aws: {}}]}]", "6:13", "toGroups"),
        ("ingress: [{fromNodes: [{}]}]", "6:14", "fromNodes"),
        ("ingress: [{fromRequires: [{}]}]", "6:14", "fromRequires"),
        ("ingress: [{authentication: {mode: required}}]", "6:37", "mutual authentication (required)"),
        ('ingress: [{toPorts: [{ports: [{port: "0", protocol: VRRP}]}]}]', "6:55", "the protocol VRRP"),
    ],
)
def test_what_is_not_enforced_is_refused_by_name(rules: str, place: str, field: str) -> None:
    """A field that is understood but not enforced is one problem, and nothing is read."""
    (found,) = problems(spec(rules))
    assert found.startswith(f"web.yaml:{place}: {field}")
    assert "Ringfence does not enforce" in found
    assert "nothing of this policy is applied" in found


def test_what_is_not_enforced_but_asks_for_nothing_is_no_fault() -> None:
    """An empty list or mapping of such a field says nothing, unless it names peers; authentication can be disabled."""
    rules = "egress: [{toRequires: [], toGroups: null, authentication: {mode: disabled}}]"
    assert len(parse(spec(rules)).policies[0].rules) == 1


def test_all_problems_of_all_files_come_at_once() -> None:
    """Problems are collected over documents and files, in their order."""
    text = "kind: Pot\n---\n- 1\n---\na: [b\n"
    with pytest.raises(BadInput) as caught:
        parse_documents([Source("b.yaml", text), Source("a.yaml", spec("ingress: 1"))])
    assert [f"{each.file}:{each.line}:{each.column}" for each in caught.value.problems] == [
        "a.yaml:6:12",
        "b.yaml:1:7",
        "b.yaml:3:1",
        "b.yaml:6:1",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: Pot\n", "1:7: unknown kind 'Pot'; expected Pod"),
        ("kind: Deployment\n", "1:7: unknown kind 'Deployment'; expected one of "),
        ("apiVersion: v1\n", "1:1: no kind; expected a manifest with apiVersion and kind"),
        (spec("ingress: []").replace("/v2", "/v3"),
         "1:13: apiVersion cilium.io/v3; expected cilium.io/v2, the current version"),
        ("kind: List\n", "1:1: a list without items; expected the field items, a list"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nstatus: {podIP: here}\n", "4:17: 'here'; expected an IP"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "3:11: no 'name' in metadata; expected the field name"),
    ],
)  # fmt: skip
def test_documents_of_no_known_kind_are_faults(text: str, problem: str) -> None:
    """A file that is to be applied holds what can be read, or says what it holds instead."""
    (found,) = problems(text)
    assert found.startswith(f"web.yaml:{problem}")


def test_other_kinds_are_passed_over_in_what_kubectl_prints() -> None:
    """They are counted, and are a fault where a person names the file to apply."""
    assert parse("kind: Deployment\n---\nkind: Deployment\n---\nkind: Secret\n", strict=False).passed_over == {
        "Deployment": 2,
        "Secret": 1,
    }
    with pytest.raises(BadInput, match="unknown kind 'Deployment'"):
        parse("kind: Deployment\n")


def test_an_outdated_version_is_read_with_a_warning() -> None:
    """The article's v1alpha1 means what v2 means."""
    parsed = parse(spec("ingress: []").replace("cilium.io/v2", "cilium.io/v1alpha1"))
    assert [str(each) for each in parsed.warnings] == [
        "web.yaml:1:13: apiVersion cilium.io/v1alpha1; expected cilium.io/v2, the current version"
    ]
    assert parsed.policies[0].uid == "CiliumNetworkPolicy/default/p"


def test_rules_know_where_they_are_written() -> None:
    """Each item of each list is a rule with its own line, in a List too; the policy keeps its text."""
    item = textwrap.indent(spec("ingress:\n- {}\n- fromEntities: [all]\negressDeny:\n- toEntities: [world]"), "  ")
    parsed = parse(f"# a comment\n---\nkind: List\nitems:\n-{item[1:]}")
    policy = parsed.policies[0]
    assert [str(rule.origin) for rule in policy.rules] == ["web.yaml:11", "web.yaml:12", "web.yaml:14"]
    assert [rule.index for rule in policy.rules] == [0, 1, 2]
    assert policy.origin.document == 1
    assert "fromEntities: [all]" in policy.text


def test_what_kubectl_adds_is_no_fault() -> None:
    """Metadata and status that the API server writes are left alone."""
    text = spec("ingress: []").replace(
        "{name: p}", "{name: p, uid: x, resourceVersion: '1', generation: 2, creationTimestamp: 2026-01-01T00:00:00Z}"
    )
    assert parse(text + "status: {conditions: []}\n").policies[0].name == "p"


def test_nodes_are_selected_by_clusterwide_policies_only() -> None:
    """In a namespaced policy, or beside endpointSelector, `nodeSelector` is a problem where it stands."""
    (found,) = problems(_nodes("CiliumNetworkPolicy", ""))
    assert found.startswith("web.yaml:5:17: nodeSelector in a CiliumNetworkPolicy")
    (found,) = problems(_nodes("CiliumClusterwideNetworkPolicy", "  endpointSelector: {}\n"))
    assert "endpointSelector together with nodeSelector" in found


def _nodes(kind: str, more: str) -> str:
    head = f"apiVersion: cilium.io/v2\nkind: {kind}\nmetadata: {{name: p}}\nspec:\n"
    return f"{head}  nodeSelector: {{}}\n{more}  ingress: []\n"
