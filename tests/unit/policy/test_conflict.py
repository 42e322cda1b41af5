from __future__ import annotations

import pytest

from ringfence.errors import BadInput
from ringfence.policy.parse import Parsed, Source, parse_documents

POLICY = """apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p}
spec: {endpointSelector: {}, ingress: []}
"""


def pod(name: str, address: str, more: str = "") -> str:
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n{more}status: {{podIP: {address}}}\n---\n"


def parse(*texts: str) -> Parsed:
    return parse_documents([Source(f"{number}.yaml", text) for number, text in enumerate(texts)])


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ((POLICY, "---\n" + POLICY),
         "1.yaml:2:1: CiliumNetworkPolicy/default/p once more; expected it once; it stands in 0.yaml:1 too"),
        ((pod("a", "10.0.0.1"), pod("b", "10.0.0.1")),
         "1.yaml:1:1: 10.0.0.1 for default/b; expected another address than that of default/a in 0.yaml:1"),
        ((pod("a", "10.0.0.1") + pod("a", "10.0.0.2"),),
         "0.yaml:6:1: Pod/default/a once more; expected it once; it stands in 0.yaml:1 too"),
        (("apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {a: b}}\n",
          "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n"),
         "1.yaml:1:1: namespace n with other labels; expected those that it has in 0.yaml:1"),
    ],
)  # fmt: skip
def test_what_cannot_both_be_so_is_named_with_both_places(texts: tuple[str, ...], problem: str) -> None:
    """One object in two documents, or one address at two pods, is an error: which was meant, nobody knows."""
    with pytest.raises(BadInput) as caught:
        parse(*texts)
    assert [str(each) for each in caught.value.problems] == [problem]


def test_what_kubectl_prints_of_a_living_cluster_is_no_conflict() -> None:
    """Pods on the host's network share its address, and a finished pod's address may be another's."""
    text = pod("a", "10.0.0.1", "spec: {hostNetwork: true}\n") + pod("b", "10.0.0.1", "spec: {hostNetwork: true}\n")
    done = "apiVersion: v1\nkind: Pod\nmetadata: {name: job}\nstatus: {phase: Succeeded, podIP: 10.0.0.2}\n---\n"
    pods = parse(text + done + pod("c", "10.0.0.2")).pods
    assert {each.name: each.addresses != () for each in pods} == {"a": True, "b": True, "job": False, "c": True}


def test_a_namespace_may_stand_twice_with_the_same_labels() -> None:
    """Several files often bring the namespace that they are about."""
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {a: b}}\n"
    assert len(parse(text, text).namespaces) == 2


def test_the_items_of_a_typed_list_have_its_kind() -> None:
    """The API's own lists do not repeat kind and version in their items."""
    text = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n"
    assert [each.name for each in parse(text).pods] == ["a", "b"]
