from __future__ import annotations

from ipaddress import ip_address

import pytest

from ringfence.errors import BadInput
from ringfence.labels import Labels, workload_labels
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Policy
from ringfence.policy.state import PolicyState
from ringfence.verdict import RuleText
from tests.unit.engine.script import OUTSIDE, WEB, policies

WIDER = WEB.replace('"80"', '"8080"')
GROUP = """
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: offices}
spec: {externalCIDRs: [198.51.100.0/24]}
"""
FROM_GROUP = OUTSIDE.replace("cidr: 192.0.2.0/24, except: [192.0.2.128/25]", "cidrGroupRef: offices")


def mode(text: str, said: str) -> str:
    return text.replace("namespace: default}", f"namespace: default, annotations: {{ringfence.io/mode: {said}}}}}")


def state(*texts: str) -> PolicyState:
    """A state with two workloads and some policies."""
    found = PolicyState()
    for number, app in enumerate(("web", "client"), 1):
        found.add_endpoint(workload_labels(Labels.parse([f"app={app}"])), [ip_address(f"10.0.0.{number}")])
    found.apply(policies(*texts))
    return found


def entries(found: PolicyState, staged: int) -> dict[PolicyKey, RuleText]:
    """The entries in force, or those that are staged, as if they were in force."""
    return {key._replace(staged=0): rule for key, rule in found.map.items() if key.staged == staged}


def overlay(*texts: str, gone: tuple[str, ...] = ()) -> dict[str, Policy | None]:
    return {**dict.fromkeys(gone), **{policy.uid: policy for policy in policies(*texts)}}


@pytest.mark.parametrize("text", [WIDER, f"{WIDER}---{OUTSIDE}", f"{GROUP}---{FROM_GROUP}"])
def test_what_is_staged_is_what_would_be_applied(text: str) -> None:
    """The staged entries are exactly those that applying the same files would put in force; those in force stay."""
    staged, applied = state(WEB), state(WEB)
    applied.apply(policies(text))
    staged.stage(overlay(text))
    assert entries(applied, 0) == entries(staged, 1)
    assert entries(state(WEB), 0) == entries(staged, 0)


def test_what_would_be_gone() -> None:
    """A policy that would be deleted has no staged entries; its subjects are as if it had never been."""
    staged = state(WEB)
    staged.stage(overlay(gone=("CiliumNetworkPolicy/default/web",)))
    assert entries(state(), 0) == entries(staged, 1)


def test_nothing_is_left_of_it() -> None:
    """Unstaged, every entry and every identity is as before."""
    found = state(WEB)
    before = dict(found.map.items()), found.identities()
    found.stage(overlay(f"{WIDER}---{OUTSIDE}"))
    assert before != (dict(found.map.items()), found.identities())
    found.stage(None)
    assert before == (dict(found.map.items()), found.identities())


def test_changes_of_what_is_in_force_are_staged_too() -> None:
    """What is staged lies over whatever is in force: a later change elsewhere is part of it, one beneath it is not."""
    found, again = state(WEB), state(WEB, OUTSIDE)
    found.stage(overlay(WIDER))
    found.apply(policies("", OUTSIDE))
    again.stage(overlay(WIDER))
    assert entries(again, 1) == entries(found, 1)
    found.delete(["CiliumNetworkPolicy/default/outside", "CiliumNetworkPolicy/default/web"])
    assert entries(state(WIDER), 0) == entries(found, 1)


def test_who_comes_later_is_judged_too() -> None:
    """An endpoint that comes while something is staged has staged entries, and loses them when it goes."""
    found, before = state(WEB), state(WEB)
    for each in (found, before):
        each.stage(overlay(WIDER))
    labels, addresses = workload_labels(Labels.parse(["app=late"])), [ip_address("10.0.0.3")]
    identity = found.add_endpoint(labels, addresses)
    assert {identity} == {key.subject for key in entries(found, 1)} - {key.subject for key in entries(before, 1)}
    found.remove_endpoint(identity, addresses)
    assert dict(before.map.items()) == dict(found.map.items())


def test_shadow_mode_is_read_from_the_annotation() -> None:
    """A policy in shadow mode is applied and listed, and no entry in force is its."""
    found = state(mode(WEB, "shadow"))
    assert [True] == [policy.shadow for policy in found.policies]
    assert not any(rule.policy for rule in entries(found, 0).values())
    assert any(rule.policy for rule in entries(found, 1).values())


def test_another_mode_is_a_fault() -> None:
    """What is neither shadow nor enforce is refused with its line."""
    with pytest.raises(BadInput, match=r"web.yaml:4:\d+: mode audit; expected shadow or enforce"):
        parse_documents([Source("web.yaml", mode(WEB, "audit"))])
