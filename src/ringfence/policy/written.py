"""Policies as they are written: each policy beside its document, each rule beside the item that it was read from.

What one part of an item means is found out by the parser itself: it reads the policy cut down to that part. So what a
finding says of a selector or a prefix is what will be enforced, whatever the kind of policy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringfence.abi import Direction, Verdict
from ringfence.policy.document import Document, Path, read_documents
from ringfence.policy.findings import Finding, Kind, Severity
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.rule import Policy, Rule

_LISTS: Final = {
    "ingress": Direction.INGRESS,
    "ingressDeny": Direction.INGRESS,
    "egress": Direction.EGRESS,
    "egressDeny": Direction.EGRESS,
}
#: What an item says besides whom and what it means.
_KEPT: Final = ("name", "action")
_SUBJECTS: Final = ("endpointSelector", "podSelector", "subject")
_CILIUM: Final = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")


@dataclass(frozen=True)
class Item:
    """One item of a list of rules: where it stands in its document, what is written there, the rule it became."""

    path: Path
    data: Mapping[str, Any]
    rule: Rule | None

    @property
    def spec(self) -> Path:
        """The spec it belongs to."""
        return self.path[:-2]


class Written:
    """A policy, and where its parts are written. `base` is its place in the document."""

    def __init__(self, policy: Policy, document: Document, base: Path, data: Mapping[str, Any]) -> None:
        self.policy = policy
        self.data = data
        self._document = document
        self._base = tuple(base)
        self.items = list(self._items())

    @property
    def cilium(self) -> bool:
        return self.policy.kind in _CILIUM

    def at(self, path: Path) -> Any:
        """What is written at a path; None where nothing is."""
        found: Any = self.data
        for step in path:
            if isinstance(found, list) and isinstance(step, int):
                found = found[step]
            else:
                found = found.get(step) if isinstance(found, Mapping) else None
        return found

    def finding(self, kind: Kind, severity: Severity, path: Path, found: str, *, key: bool = False) -> Finding:
        """Something found at a path, or at the key that it ends in."""
        whole = (*self._base, *path)
        place = self._document.place.of_key(whole) if key else self._document.place.at(whole)
        return Finding(self._document.file, place.line, place.column, kind, severity, self.policy.uid, found)

    def specs(self) -> list[Path]:
        """The specs that have a subject."""
        several = self.data.get("specs") or []
        return [("spec",)] * ("spec" in self.data) + [("specs", index) for index in range(len(several))]

    def subject(self, spec: Path) -> Path:
        """Where a spec says whom it protects."""
        written = self.at(spec)
        return (*spec, *(name for name in _SUBJECTS if name in written))

    def place_of(self, rule: Rule) -> Path:
        """Where a rule stands; the spec, or the policy, for one that no item says."""
        return next((item.path for item in self.items if item.rule is rule), ())

    def meaning(self, item: Item, field: str, element: object) -> Rule:
        """The rule that an item would be with one element of one of its lists alone."""
        (*spec, name, _) = item.path
        kept = {key: item.data[key] for key in _KEPT if key in item.data}
        written = {key: value for key, value in self.at(spec).items() if key in {*_SUBJECTS, "priority", "tier"}}
        head = {key: self.data[key] for key in ("apiVersion", "kind", "metadata") if key in self.data}
        alone = {**head, "spec": {**written, str(name): [{**kept, field: [element]}]}}
        (policy,) = parse_documents([Source(self._document.file, json.dumps(alone))]).policies
        return next(rule for rule in policy.rules if rule.direction == _LISTS[str(name)])

    def _items(self) -> Iterator[Item]:
        """Items in the order in which rules are made of them; rules of nothing written stand between them."""
        rules = list(self.policy.rules)
        for spec in self.specs():
            for name, direction in _LISTS.items():
                for index, data in enumerate(self.at((*spec, name)) or []):
                    path = (*spec, name, index)
                    line = self._document.place.at((*self._base, *path)).line
                    rule = next((each for each in rules if _made_of(each, line, direction, name)), None)
                    if rule is not None:
                        rules.remove(rule)
                    yield Item(path, data or {}, rule)


def read_written(sources: Iterable[Source], parsed: Parsed) -> list[Written]:
    """The policies that sources hold, which were parsed already, beside what is written."""
    policies = {policy.uid: policy for policy in parsed.policies}
    found = []
    for source in sources:
        for document in read_documents(source.name, source.text, []):
            for data, base in _objects(document.data, ()):
                policy = policies.get(_uid(data, policies))
                if policy is not None and policy.group is None:
                    found.append(Written(policy, document, base, data))
    return found


def _objects(data: Any, base: tuple[str | int, ...]) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """A document's objects: itself, or the items of a List."""
    if isinstance(data, dict) and str(data.get("kind", "")).endswith("List"):
        for index, item in enumerate(data.get("items") or []):
            yield from _objects(item, (*base, "items", index))
    elif isinstance(data, dict):
        yield data, base


def _uid(data: Mapping[str, Any], policies: Mapping[str, Policy]) -> str:
    """The uid of an object, which for some kinds has no namespace whatever is written."""
    metadata = data.get("metadata") or {}
    kind, name, namespace = data.get("kind"), metadata.get("name"), metadata.get("namespace") or "default"
    clusterwide = f"{kind}//{name}"
    return clusterwide if clusterwide in policies else f"{kind}/{namespace}/{name}"


def _made_of(rule: Rule, line: int, direction: Direction, name: str) -> bool:
    denied = name.endswith("Deny")
    return (rule.origin.line, rule.direction) == (line, direction) and (not denied or rule.verdict == Verdict.DENY)
