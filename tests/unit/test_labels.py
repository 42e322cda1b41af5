from __future__ import annotations

import pytest

from ringfence.labels import NAMESPACE_KEY, Label, Labels, parse_label, workload_labels


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("app=web", Label("k8s", "app", "web")),
        ("container:app=web", Label("container", "app", "web")),
        ("app", Label("k8s", "app", "")),
        ("app=a=b:c", Label("k8s", "app", "a=b:c")),
        ("reserved:host", Label("reserved", "host", "")),
        ("cidr:2001:db8::/32", Label("cidr", "2001:db8::/32", "")),
    ],
)
def test_a_label_is_source_key_and_value(text: str, label: Label) -> None:
    """What is typed without a source has the source k8s; only the first colon and equals sign divide."""
    assert parse_label(text) == label


@pytest.mark.parametrize("text", ["", "=web", "k8s:", ":app=web"])
def test_a_label_has_a_key_and_a_source(text: str) -> None:
    """Text without a key is no label."""
    with pytest.raises(ValueError, match="no key"):
        parse_label(text)


def test_labels_are_a_set() -> None:
    """Order does not matter; the last of two values for one key counts."""
    assert Labels.parse(["b=2", "a=1"]) == Labels.parse(["a=1", "b=2"])
    assert hash(Labels.parse(["b=2", "a=1"])) == hash(Labels.parse(["a=1", "b=2"]))
    assert Labels.parse(["a=1", "a=2"]).texts() == ["k8s:a=2"]
    assert {Labels.parse(["a=1"]): 1}[Labels.parse(["k8s:a=1"])] == 1


def test_a_workload_is_in_a_namespace() -> None:
    """Its namespace and that one's labels are among its own; nobody is in a namespace while it has reserved labels."""
    labels = workload_labels(Labels.parse(["app=web"]), "shop", {"team": "a", "kubernetes.io/metadata.name": "shop"})
    assert labels.texts() == [
        "k8s:app=web",
        "k8s:io.cilium.k8s.namespace.labels.team=a",
        f"k8s:{NAMESPACE_KEY}=shop",
    ]
    assert labels.namespace == "shop"
    assert workload_labels(Labels.parse(["app=web"])).namespace == "default"
    assert workload_labels(Labels.parse(["reserved:init"])).texts() == ["reserved:init"]
