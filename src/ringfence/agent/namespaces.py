"""Namespaces: their labels, which every workload in them carries too. They come with the files that policies are in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ringfence.agent.journal import Item
from ringfence.agent.store import NAMESPACE, Kept
from ringfence.engine.endpoints import Endpoints
from ringfence.engine.events import EndpointLabelsChanged
from ringfence.labels import NAMESPACE_LABELS, workload_labels
from ringfence.policy.manifest import Namespace


class Namespaces:
    """The labels of the namespaces that were told of."""

    def __init__(self) -> None:
        self._labels: dict[str, Mapping[str, str]] = {}

    def read(self, journal: Kept) -> None:
        """Take over what an earlier run was told."""
        self._labels = dict(journal.items(NAMESPACE))

    def labels(self, namespace: str) -> Mapping[str, str]:
        """Its labels; none for one that nobody told of."""
        return self._labels.get(namespace, {})

    def differing(self, wanted: Mapping[str, Mapping[str, str]]) -> tuple[Namespace, ...]:
        """Those whose labels are others now; one that nobody had told of has none."""
        names = sorted(self._labels.keys() | wanted.keys())
        return tuple(
            Namespace(name, wanted.get(name, {})) for name in names if self.labels(name) != wanted.get(name, {})
        )

    def applied(self, namespaces: Iterable[Namespace]) -> dict[Item, object]:
        """What to remember when these are applied."""
        return {Item(NAMESPACE, each.name): dict(each.labels) for each in namespaces}

    def confirm(self, namespaces: Iterable[Namespace]) -> None:
        """They are applied."""
        self._labels |= {each.name: dict(each.labels) for each in namespaces}

    def relabelled(self, namespaces: Iterable[Namespace], endpoints: Endpoints) -> list[EndpointLabelsChanged]:
        """Which endpoints are known by other labels when these are applied."""
        given = {each.name: each.labels for each in namespaces}
        changed = []
        for endpoint in endpoints if given else ():
            workload = endpoint.workload
            namespace = workload.labels.namespace
            if namespace in given:
                own = [label for label in workload.labels if not label.key.startswith(NAMESPACE_LABELS)]
                labels = workload_labels(own, namespace, given[namespace])
                if labels != workload.labels:
                    changed.append(EndpointLabelsChanged(workload.name, labels))
        return changed
