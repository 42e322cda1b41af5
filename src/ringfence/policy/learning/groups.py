"""Groups: by which labels workloads are meant in the policies that are learned.

A workload is meant by the labels that stay the same when it is replaced: by those that the caller names, else by the
first of the usual names of an application that it has. Labels that a controller gives to one replica or one rollout
are never used. A workload without any such label is meant by not having those that others of its namespace are meant
by, so that no group means a workload of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ringfence.labels import DEFAULT_NAMESPACE, NAMESPACE_KEY, NAMESPACE_LABELS, Label, Labels

#: What applications are called by, in the order in which it is looked for.
USUAL: Final = ("app.kubernetes.io/name", "app", "k8s-app", "name", "run", "component", "app.kubernetes.io/component")
#: Labels of one replica, rollout or run, by the ends of their keys.
_PASSING: Final = (
    "pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index", "controller-uid", "job-name", "job-completion-index", "deploymentconfig",
    "deployment", "rollouts-pod-template-hash", "batch.kubernetes.io/job-name",
)  # fmt: skip
#: Versions and rollouts change under the same name; Cilium's own labels of pods say nothing of their application.
_PASSING_KEYS: Final = ("app.kubernetes.io/version", "helm.sh/chart", "app.kubernetes.io/managed-by", "version")
_OF_CILIUM: Final = "io.cilium.k8s."


@dataclass(frozen=True, order=True, slots=True)
class Group:
    """The workloads of a namespace that have some labels and lack some keys."""

    namespace: str
    labels: tuple[tuple[str, str, str], ...]
    lacking: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = [f"{key}={value}" for _, key, value in self.labels] or [f"!{key}" for key in self.lacking]
        return f"{self.namespace}/{','.join(told) or '*'}"

    def matches(self, labels: Labels) -> bool:
        """Whether a workload is meant."""
        if (labels.namespace or DEFAULT_NAMESPACE) != self.namespace:
            return False
        if any(labels.with_key(key) for key in self.lacking):
            return False
        return all(Label(*each) in labels for each in self.labels)


class Grouping:
    """The groups of some workloads. `by` are the keys to group by; without them the usual ones.

    `sources` are those that policies can name: NetworkPolicy knows the labels of Kubernetes alone.
    """

    def __init__(self, workloads: Iterable[Labels], by: Sequence[str] = (), sources: Sequence[str] = ()) -> None:
        self._by = tuple(by)
        self._sources = frozenset(sources)
        distinct = list(dict.fromkeys(workloads))
        chosen = {labels: self._chosen(labels) for labels in distinct}
        keys: dict[str, set[str]] = {}
        for labels, found in chosen.items():
            keys.setdefault(_namespace(labels), set()).update(label.key for label in found)
        self._groups = {labels: _group(labels, found, keys[_namespace(labels)]) for labels, found in chosen.items()}
        self._of: dict[Labels, tuple[Group, ...]] = {}
        self._by_namespace: dict[str, list[Group]] = {}
        for group in sorted(set(self._groups.values())):
            self._by_namespace.setdefault(group.namespace, []).append(group)

    def group(self, labels: Labels) -> Group:
        """The group that a workload is generalised to. Raises KeyError for one that it was not made of."""
        return self._groups[labels]

    def meaning(self, labels: Labels) -> tuple[Group, ...]:
        """All groups whose selectors mean a workload, its own among them."""
        if labels not in self._of:
            candidates = self._by_namespace.get(_namespace(labels), [])
            self._of[labels] = tuple(group for group in candidates if group.matches(labels))
        return self._of[labels]

    def _chosen(self, labels: Labels) -> list[Label]:
        own = [label for label in labels if self._usable(label)]
        if self._by:
            named = [label for label in own if label.key in self._by]
            if named:
                return named
        for key in USUAL:
            found = [label for label in own if label.key == key]
            if found:
                return found[:1]
        return [label for label in own if lasting(label.key)]

    def _usable(self, label: Label) -> bool:
        if label.source in {"reserved", "cidr", "named-port"} or (self._sources and label.source not in self._sources):
            return False
        return label.key != NAMESPACE_KEY and not label.key.startswith((NAMESPACE_LABELS, _OF_CILIUM))


def lasting(key: str) -> bool:
    """Whether a label with this key outlives replicas and rollouts."""
    return key not in _PASSING_KEYS and not key.endswith(_PASSING)


def _namespace(labels: Labels) -> str:
    return labels.namespace or DEFAULT_NAMESPACE


def _group(labels: Labels, chosen: Iterable[Label], keys: Iterable[str]) -> Group:
    found = tuple(sorted((label.source, label.key, label.value) for label in chosen))
    return Group(_namespace(labels), found, () if found else tuple(sorted(keys)))
