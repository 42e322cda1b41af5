"""Selectors: which sets of labels are meant.

A selector is a conjunction of requirements on keys, written as `matchLabels` and `matchExpressions`. It is a value in a
canonical order, so that two policies that write the same selector share one set of live identities. A key of the source
`any` is met by a label of whatever source; a key of the source `cidr` is a prefix and is met by every prefix inside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from ringfence.labels import NAMESPACE_KEY, NAMESPACE_LABELS, PORT_SOURCE, Label, Labels

ANY_SOURCE: Final = "any"
CIDR_SOURCE: Final = "cidr"
_ASKED_MOSTLY: Final = frozenset({ANY_SOURCE, "k8s"})

Network = IPv4Network | IPv6Network


class Operator(Enum):
    """The operators of `matchExpressions`, spelt as there."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"

    @property
    def negative(self) -> bool:
        return self is Operator.NOT_IN or self is Operator.DOES_NOT_EXIST


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a key. `values` is empty for the operators that ask for presence alone."""

    source: str
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Labels) -> bool:
        if self.operator is Operator.IN and self.source in _ASKED_MOSTLY:
            # By far the most are this: nothing is gathered for it.
            for label in labels.with_key(self.key):
                if label.value in self.values and self.source in (ANY_SOURCE, label.source):
                    return True
            return False
        return self._met(labels) is not self.operator.negative

    def _met(self, labels: Labels) -> bool:
        found = self.labels_meant(labels)
        if self.operator is Operator.EXISTS or self.operator is Operator.DOES_NOT_EXIST:
            return bool(found)
        return any(label.value in self.values for label in found)

    def labels_meant(self, labels: Labels) -> list[Label]:
        """The labels that this requirement's key stands for."""
        if self.source == CIDR_SOURCE:
            return [label for label in labels.from_source(CIDR_SOURCE) if _inside(label.key, self.key)]
        if self.source == PORT_SOURCE:
            return [label for label in labels.ports if label.key == self.key]
        return [label for label in labels.with_key(self.key) if self.source in (ANY_SOURCE, label.source)]

    @property
    def order(self) -> tuple[str, str, str, tuple[str, ...]]:
        return (self.key, self.source, self.operator.value, tuple(sorted(self.values)))

    def __str__(self) -> str:
        key = f"{self.source}:{self.key}"
        if self.operator is Operator.EXISTS:
            return key
        if self.operator is Operator.DOES_NOT_EXIST:
            return f"!{key}"
        if self.operator is Operator.IN and len(self.values) == 1:
            return f"{key}={next(iter(self.values))}".rstrip("=")
        word = "in" if self.operator is Operator.IN else "not in"
        return f"{key} {word} ({', '.join(sorted(self.values))})"


@dataclass(frozen=True)
class Selector:
    """All of its requirements must be met; without any it selects everything. Build it by `Selector.of`."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def of(cls, requirements: Iterable[Requirement]) -> Selector:
        return cls(tuple(sorted(set(requirements), key=lambda requirement: requirement.order)))

    def matches(self, labels: Labels) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def mentions_source(self, source: str) -> bool:
        return any(requirement.source == source for requirement in self.requirements)

    @property
    def mentions_namespace(self) -> bool:
        """Whether it says itself which namespaces it means."""
        return any(
            requirement.source in {ANY_SOURCE, "k8s"}
            and (requirement.key == NAMESPACE_KEY or requirement.key.startswith(NAMESPACE_LABELS))
            for requirement in self.requirements
        )

    @property
    def prefixes(self) -> tuple[Network, ...]:
        """The prefixes that `cidr:` keys name. Addresses must be told apart by them for the selector to be exact."""
        return tuple(ip_network(each.key) for each in self.requirements if each.source == CIDR_SOURCE)

    def __and__(self, requirements: Iterable[Requirement]) -> Selector:
        return Selector.of((*self.requirements, *requirements))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.requirements)

    def __str__(self) -> str:
        return ", ".join(map(str, self.requirements)) or "{}"


def requirement_key(written: str) -> tuple[str, str]:
    """Source and key of a selector's key as written: `k8s:app` has a source, `app` is of any."""
    source, colon, key = written.partition(":")
    return (source, key) if colon else (ANY_SOURCE, written)


@lru_cache(maxsize=65536)
def _inside(prefix: str, outer: str) -> bool:
    inner_network, outer_network = ip_network(prefix), ip_network(outer)
    if isinstance(inner_network, IPv4Network):
        return isinstance(outer_network, IPv4Network) and inner_network.subnet_of(outer_network)
    return isinstance(outer_network, IPv6Network) and inner_network.subnet_of(outer_network)
