from __future__ import annotations

import pytest

from ringfence.errors import BadInput
from ringfence.policy.case import Party, parse_party
from ringfence.policy.evaluate import evaluate
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.test import JUDGES, Report, compile_world, run_tests
from ringfence.policy.world import build_world
from ringfence.traffic import Traffic

WORLD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromEndpoints:
    - matchLabels: {app: web}
    toPorts:
    - ports: [{port: "5432", protocol: TCP}, {port: "6000", endPort: 6007, protocol: TCP}]
---
apiVersion: ringfence.io/v1
kind: PolicyTest
cases:
"""


def run(*cases: str, judge: str = "map") -> Report:
    text = WORLD + "".join(f"- {case}\n" for case in cases)
    return run_tests(parse_documents([Source("w.yaml", text)]), JUDGES[judge])


@pytest.mark.parametrize("judge", sorted(JUDGES))
def test_a_report_counts_and_explains(judge: str) -> None:
    """A case that fails is shown with the verdict, the deciding rules and what would have had to match."""
    report = run(
        "{from: web, to: db, port: 5432/TCP, expect: allow, by: db}",
        "{from: web, to: default/db, port: 80/TCP, expect: allow}",
        "{from: world, to: db, port: 5432/TCP, expect: deny, by: other}",
        judge=judge,
    ).to_dict()
    assert (report["cases"], report["passed"], len(report["failed"])) == (3, 1, 2)
    wrong, by_other = report["failed"]
    assert (wrong["line"], wrong["verdict"], wrong["port"]) == (25, "deny", "80/TCP")
    assert wrong["rules"][1]["origin"] == "w.yaml:16"
    assert wrong["explanation"] == [
        "egress allow: allowed by default: no policy isolates it",
        "ingress deny: no rule allows this; isolated by w.yaml:16",
        "  w.yaml:16: port 80, the rule allows 5432, 6000-6007",
    ]
    assert by_other["explanation"][-1] == ("  w.yaml:16: the world is outside, the rule means workloads with app=web")


def test_any_port_stands_for_every_class_of_ports() -> None:
    """Each port that the rules tell apart must give the verdict; the one that does not is shown."""
    report = run(
        "{from: web, to: db, port: any/TCP, expect: deny}",
        "{from: web, to: db, port: any/UDP, expect: deny, by: default/db}",
        "{from: db, to: web, port: any/TCP, expect: allow}",
    )
    assert [str(failure.traffic) for failure in report.failed] == ["5432/TCP"]


def test_cases_that_cannot_be_asked_are_bad_input() -> None:
    """A pod that is not there, and ends without a common family, are named with their places, all at once."""
    with pytest.raises(BadInput) as caught:
        run(
            "{from: nobody, to: db, port: 80/TCP, expect: deny}",
            "{from: web, to: db, port: echo-request/ICMPv6, expect: deny}",
        )
    assert [str(problem).split(";")[0] for problem in caught.value.problems] == [
        "w.yaml:24:10: no pod default/nobody",
        "w.yaml:25:19: default/web and default/db have no addresses of one family that carries echo-request/ICMPv6",
    ]


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ("{from: web, to: db, port: 80, expect: deny}", "w.yaml:24:29: port 80;"),
        ("{from: web, to: db, port: 80/TCP, expect: maybe}", "w.yaml:24:45: 'maybe'"),
        ("{from: WEB, to: db, port: 80/TCP, expect: deny}", "w.yaml:24:10: 'WEB'"),
        ("{from: {label: {}}, to: db, port: 80/TCP, expect: deny}", "w.yaml:24:18: unknown field 'label'"),
        ("{from: web, port: 80/TCP, expect: deny}", "w.yaml:24:3: no 'to' in cases[0]"),
    ],
)
def test_a_case_is_checked_like_all_input(case: str, problem: str) -> None:
    """One problem, with the place of the node."""
    with pytest.raises(BadInput) as caught:
        run(case)
    (found,) = caught.value.problems
    assert str(found).startswith(problem)


def test_parties_are_told_apart_by_their_form() -> None:
    """An address, an entity, or a pod, of the namespace default unless it says another."""
    assert parse_party("fd00::1").address is not None
    assert parse_party("world") == Party(entity="world")
    assert parse_party("shop/web") == Party(pod="shop/web")
    assert parse_party("web") == Party(pod="default/web")


def test_a_compiled_world_is_all_that_the_kernel_would_hold() -> None:
    """Every pod has an identity and an ipcache entry that names it, made-up addresses too."""
    parsed = parse_documents([Source("w.yaml", WORLD + "- {from: host, to: db, port: 1/TCP, expect: deny}\n")])
    world = build_world(parsed, [parse_party("host")])
    compiled = compile_world(world)
    assert set(compiled.identities) == {"default/web", "default/db"}
    owned = {peer.pod: peer.identity for peer in compiled.ipcache.values() if peer.pod}
    assert owned == compiled.identities
    assert {key.subject for key in compiled.entries} == set(compiled.identities.values())
    web, db = world.actors["default/web"], world.actors["default/db"]
    assert evaluate(world, web, db, Traffic(6, 5432)).allowed
    assert not evaluate(world, web, db, Traffic(17, 5432)).allowed
