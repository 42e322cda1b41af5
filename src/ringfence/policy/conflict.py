"""Conflicts: what each document says alone is in order, but two of them cannot both be so.

A policy, pod or service that stands in two documents, a namespace with other labels in each, or an address that two
pods have: which of them is meant nobody can know, so both places are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from ringfence.errors import Problem
from ringfence.policy.manifest import Namespace, Pod
from ringfence.policy.rule import Origin, Policy
from ringfence.policy.services import EndpointSlice, Service


class _Placed(Protocol):
    @property
    def origin(self) -> Origin: ...


def conflicts(found: Iterable[object]) -> list[Problem]:
    """The problems of documents with each other."""
    objects = list(found)
    pods = [each for each in objects if isinstance(each, Pod)]
    named: dict[str, list[_Placed]] = {}
    for policy in (each for each in objects if isinstance(each, Policy)):
        named.setdefault(policy.uid, []).append(policy)
    for each in objects:
        if isinstance(each, Service | EndpointSlice):
            named.setdefault(each.uid, []).append(each)
    for pod in pods:
        named.setdefault(f"Pod/{pod.path}", []).append(pod)
    return [*_twice(named), *_relabelled(objects), *_shared_addresses(pods)]


def _twice(named: Mapping[str, list[_Placed]]) -> Iterator[Problem]:
    for name, placed in named.items():
        for other in placed[1:]:
            yield _problem(other, f"{name} once more", f"it once; it stands in {placed[0].origin} too")


def _relabelled(objects: Iterable[object]) -> Iterator[Problem]:
    first: dict[str, Namespace] = {}
    for namespace in (each for each in objects if isinstance(each, Namespace)):
        known = first.setdefault(namespace.name, namespace)
        if known != namespace:
            found = f"namespace {namespace.name} with other labels"
            yield _problem(namespace, found, f"those that it has in {known.origin}")


def _shared_addresses(pods: Iterable[Pod]) -> Iterator[Problem]:
    """Pods on the host's network share the node's; nobody else shares one."""
    first: dict[object, Pod] = {}
    for pod in (each for each in pods if not each.host_network):
        for address in pod.addresses:
            other = first.setdefault(address, pod)
            if other is not pod and other.path != pod.path:
                expected = f"another address than that of {other.path} in {other.origin}"
                yield _problem(pod, f"{address} for {pod.path}", expected)


def _problem(placed: _Placed, found: str, expected: str) -> Problem:
    return Problem(placed.origin.file, placed.origin.line, 1, found, expected)
