from __future__ import annotations

from typing import Literal

import pytest

from ringfence.policy.builtin import Settings
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.test import JUDGES, Report, run_tests

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Node
metadata: {name: here}
status: {addresses: [{type: InternalIP, address: 10.0.0.100}]}
---
apiVersion: v1
kind: Node
metadata: {name: there}
status: {addresses: [{type: InternalIP, address: 10.0.1.100}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cidr}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress: [{fromCIDR: [10.0.0.0/16]}, {fromEntities: [remote-node], toPorts: [{ports: [{port: "22"}]}]}]
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: admin}
spec:
  priority: 1
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portNumber: {port: 23}}]}]
---
apiVersion: ringfence.io/v1
kind: PolicyTest
cases:
"""


def judged(settings: Settings, judge: str, *cases: str) -> Report:
    text = WORLD + "".join(f"- {{{case}}}\n" for case in cases)
    return run_tests(parse_documents([Source("w.yaml", text)]), JUDGES[judge], settings)


@pytest.fixture(params=sorted(JUDGES))
def judge(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("enforcement", "free", "selected"),
    [("default", "allow", "deny"), ("always", "deny", "deny"), ("never", "allow", "allow")],
)
def test_enforcement(judge: str, enforcement: Literal["default", "always", "never"], free: str, selected: str) -> None:
    """By default what a policy selects is isolated; `always`, everything; `never`, nothing, whatever the kind."""
    report = judged(
        Settings(enforcement=enforcement),
        judge,
        f"from: default/db, to: default/web, port: 80/TCP, expect: {free}",
        f"from: default/web, to: default/db, port: 80/TCP, expect: {selected}",
        f"from: default/db, to: default/web, port: 23/TCP, expect: {'allow' if enforcement == 'never' else 'deny'}",
    )
    assert not report.failed, report.to_dict()


@pytest.mark.parametrize(("mode", "verdict"), [("", "deny"), ("nodes", "allow")])
def test_cidr_rules_mean_nodes_where_the_setting_says_so(judge: str, mode: Literal["", "nodes"], verdict: str) -> None:
    """Cilium's CIDR rules mean the world; with the setting nodes too, which are nodes still; workloads never."""
    report = judged(
        Settings(policy_cidr_match_mode=mode),
        judge,
        "from: 10.0.3.3, to: default/db, port: 80/TCP, expect: allow",
        f"from: 10.0.0.100, to: default/db, port: 80/TCP, expect: {verdict}",
        f"from: 10.0.1.100, to: default/db, port: 80/TCP, expect: {verdict}",
        "from: 10.0.1.100, to: default/db, port: 22/TCP, expect: allow",
        "from: default/web, to: default/db, port: 80/TCP, expect: deny",
    )
    assert not report.failed, report.to_dict()
