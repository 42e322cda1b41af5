"""Labels: what a workload is known by.

A label is `source:key=value`; its source says who gave it (`k8s`, `reserved`, `cidr`, ...), so that a workload cannot
take a label that only the system gives. A set of labels is what gets an identity.

The named ports of a workload stand among its labels, under a source of their own: rules that speak of a port by name
tell workloads apart by them, so they are part of the identity. People are not shown them, and no selector that is
written means them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

NAMESPACE_KEY: Final = "io.kubernetes.pod.namespace"
NAMESPACE_LABELS: Final = "io.cilium.k8s.namespace.labels."
#: A namespace label that Kubernetes sets itself to the namespace's name; selectors read it as NAMESPACE_KEY.
NAMESPACE_NAME_LABEL: Final = "kubernetes.io/metadata.name"
DEFAULT_NAMESPACE: Final = "default"
#: Labels of this source are named ports: the key is name/PROTOCOL, the value the numbers, separated by commas.
PORT_SOURCE: Final = "named-port"


class Label(NamedTuple):
    """One label. A label without a value has the empty value."""

    source: str
    key: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.key}={self.value}" if self.value else f"{self.source}:{self.key}"


def parse_label(text: str, default_source: str = "k8s") -> Label:
    """Read `app=web` or `source:app=web`. Raises ValueError on text without a key."""
    head, _, value = text.partition("=")
    source, colon, key = head.partition(":")
    if not colon:
        source, key = default_source, head
    if not key or not source:
        raise ValueError(f"label {text!r} has no key: a label is key=value or source:key=value")
    return Label(source, key, value)


class Labels:
    """A set of labels: immutable, sorted, hashable, with at most one value for a source and key."""

    __slots__ = ("_by_key", "_hash", "_labels", "_ports")

    def __init__(self, labels: Iterable[Label] = ()) -> None:
        unique = {(label.source, label.key): label for label in labels}
        self._labels = tuple(sorted(unique.values()))
        self._hash = hash(self._labels)
        self._by_key: dict[str, tuple[Label, ...]] = {}
        self._ports: tuple[Label, ...] = ()
        for label in self._labels:
            if label.source == PORT_SOURCE:
                self._ports = (*self._ports, label)
            else:
                self._by_key[label.key] = (*self._by_key.get(label.key, ()), label)

    @classmethod
    def parse(cls, texts: Iterable[str], default_source: str = "k8s") -> Labels:
        """Raises ValueError on a text that is no label."""
        return cls(parse_label(text, default_source) for text in texts)

    def with_key(self, key: str) -> tuple[Label, ...]:
        """The labels of this key, one for each source that gave it."""
        return self._by_key.get(key, ())

    def from_source(self, source: str) -> tuple[Label, ...]:
        return tuple(label for label in self._labels if label.source == source)

    @property
    def namespace(self) -> str | None:
        return next((label.value for label in self.with_key(NAMESPACE_KEY) if label.source == "k8s"), None)

    @property
    def ports(self) -> tuple[Label, ...]:
        """The named ports."""
        return self._ports

    def texts(self) -> list[str]:
        """The labels as people see them: without the named ports."""
        return [str(label) for label in self._labels if label.source != PORT_SOURCE]

    def stored(self) -> list[str]:
        """All of them, as `parse` reads them back."""
        return [str(label) for label in self._labels]

    def __or__(self, other: Iterable[Label]) -> Labels:
        return Labels((*self._labels, *other))

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __contains__(self, label: object) -> bool:
        return label in self._labels

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and self._labels == other._labels

    def __hash__(self) -> int:
        return self._hash

    def __lt__(self, other: Labels) -> bool:
        return self._labels < other._labels

    def __str__(self) -> str:
        return " ".join(self.texts())

    def __repr__(self) -> str:
        return f"Labels({' '.join(self.stored())!r})"


def port_labels(ports: Iterable[tuple[str, str, int]]) -> list[Label]:
    """The labels of named ports, each a name, a protocol's name and a number. A name may stand for several numbers."""
    numbers: dict[str, set[int]] = {}
    for name, protocol, number in ports:
        numbers.setdefault(f"{name}/{protocol}", set()).add(number)
    return [Label(PORT_SOURCE, key, ",".join(map(str, sorted(found)))) for key, found in numbers.items()]


def node_labels(texts: Iterable[str]) -> Labels:
    """The labels that a node is given. Raises ValueError for one that is the system's to give."""
    labels = Labels.parse(texts)
    if any(label.source in {"reserved", "cidr", PORT_SOURCE} or label.key == NAMESPACE_KEY for label in labels):
        raise ValueError("labels of the sources reserved, cidr and named-port, and namespaces, are not a node's")
    return labels


def workload_labels(
    own: Iterable[Label], namespace: str = DEFAULT_NAMESPACE, namespace_labels: Mapping[str, str] | None = None
) -> Labels:
    """All labels of a workload: its own, its namespace, and its namespace's labels under their prefix.

    A workload that is still `reserved:init` is in no namespace.
    """
    labels = Labels(own)
    if labels.from_source("reserved"):
        return labels
    of_namespace = [
        Label("k8s", NAMESPACE_LABELS + key, value)
        for key, value in (namespace_labels or {}).items()
        if key != NAMESPACE_NAME_LABEL
    ]
    return labels | [Label("k8s", NAMESPACE_KEY, namespace), *of_namespace]
