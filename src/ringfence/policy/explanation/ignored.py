"""Rules that a NetworkPolicy writes and that say nothing: those of a direction that its `policyTypes` do not name.

Found by reading the document once more as if both directions were named, if its text is one that can have any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ringfence.abi import Direction
from ringfence.policy.document import Path, read_documents
from ringfence.policy.kubernetes import NetworkPolicy, read_network_policy
from ringfence.policy.rule import NOBODY, Origin, Policy, Rule

_FIELD = {Direction.INGRESS: "ingress", Direction.EGRESS: "egress"}


def ignored_rules(policies: Iterable[Policy], direction: Direction) -> Iterator[Rule]:
    """The rules of a direction that `policyTypes` keep from being in force."""
    for policy in policies:
        if policy.kind == "NetworkPolicy" and _may_have(policy, direction):
            yield from _written(policy, direction)


def _may_have(policy: Policy, direction: Direction) -> bool:
    in_force = any(rule.direction == direction for rule in policy.rules)
    return not in_force and _FIELD[direction] in policy.text and "policyTypes" in policy.text


def _written(policy: Policy, direction: Direction) -> Iterator[Rule]:
    for document in read_documents(policy.origin.file, policy.text, []):
        for data, base in _objects(document.data, ()):
            metadata = data.get("metadata") or {}
            path = (data.get("kind"), metadata.get("namespace") or "default", metadata.get("name"))
            if path != (policy.kind, policy.namespace, policy.name):
                continue
            spec = {**data["spec"], "policyTypes": ["Ingress", "Egress"]}
            written = NetworkPolicy.model_validate({**data, "spec": spec})
            for rule in read_network_policy(document, written, base).rules:
                if rule.direction == direction and rule.peers != NOBODY and rule.default_deny:
                    yield replace(rule, origin=_moved(rule.origin, policy))


def _objects(data: Any, base: tuple[str | int, ...]) -> Iterator[tuple[Mapping[str, Any], Path]]:
    if isinstance(data, dict) and isinstance(data.get("items"), list):
        for index, item in enumerate(data["items"]):
            yield from _objects(item, (*base, "items", index))
    elif isinstance(data, dict):
        yield data, base


def _moved(origin: Origin, policy: Policy) -> Origin:
    """A line of the document's text as a line of the file that it stands in."""
    return Origin(policy.origin.file, origin.line + policy.text_line - 1, policy.origin.document)
