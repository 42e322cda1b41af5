"""The selector cache: for every selector in use, the identities that it selects now.

A selector used by many rules is evaluated once. A new selector is evaluated by set algebra over an index of labels, not
by looking at every identity; a new identity is tried only on the selectors that one of its labels can satisfy.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import TypeVar

from ringfence.labels import PORT_SOURCE, Label, Labels
from ringfence.selector import ANY_SOURCE, CIDR_SOURCE, Operator, Requirement, Selector

Key = TypeVar("Key", bound=tuple[str, ...])


class LabelIndex:
    """Which identities carry a label, by source, key and value; a source of `any` stands for all."""

    def __init__(self) -> None:
        self._with_value: dict[tuple[str, str, str], set[int]] = {}
        self._with_key: dict[tuple[str, str], set[int]] = {}
        self._labels: dict[int, Labels] = {}

    def add(self, number: int, labels: Labels) -> None:
        self._labels[number] = labels
        for label in labels:
            for source in _sources(label):
                self._with_value.setdefault((source, label.key, label.value), set()).add(number)
                self._with_key.setdefault((source, label.key), set()).add(number)

    def remove(self, number: int) -> None:
        for label in self._labels.pop(number):
            for source in _sources(label):
                _discard(self._with_value, (source, label.key, label.value), number)
                _discard(self._with_key, (source, label.key), number)

    def __getitem__(self, number: int) -> Labels:
        return self._labels[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._labels)

    def __contains__(self, number: int) -> bool:
        return number in self._labels

    def select(self, selector: Selector) -> set[int]:
        """The identities that meet every requirement."""
        wanted = sorted((self._meeting(each) for each in selector.requirements if not each.operator.negative), key=len)
        found = set(wanted[0]).intersection(*wanted[1:]) if wanted else set(self._labels)
        for requirement in selector.requirements:
            if requirement.operator.negative:
                found -= self._meeting(requirement)
        return found

    def _meeting(self, requirement: Requirement) -> AbstractSet[int]:
        """The identities with the label a requirement names, whether it asks for it or against it."""
        source, key = requirement.source, requirement.key
        if source == CIDR_SOURCE:
            return {number for number, labels in self._labels.items() if _found(requirement, labels)}
        if requirement.operator in {Operator.EXISTS, Operator.DOES_NOT_EXIST}:
            return self._with_key.get((source, key), frozenset())
        sets: list[AbstractSet[int]] = [
            self._with_value.get((source, key, value), frozenset()) for value in requirement.values
        ]
        return sets[0] if len(sets) == 1 else set(chain.from_iterable(sets))


class SelectorCache:
    """Selectors in use and their live identities, kept exact as identities come and go."""

    def __init__(self) -> None:
        self._index = LabelIndex()
        self._selected: dict[Selector, set[int]] = {}
        self._uses: dict[Selector, int] = {}
        self._by_value: dict[tuple[str, str], dict[Selector, None]] = {}
        self._general: dict[Selector, None] = {}

    def acquire(self, selector: Selector) -> AbstractSet[int]:
        """The live set of a selector; the same object for every user, changed in place."""
        self._uses[selector] = self._uses.get(selector, 0) + 1
        if selector not in self._selected:
            self._selected[selector] = self._index.select(selector)
            for shelf in self._shelves(selector):
                shelf[selector] = None
        return self._selected[selector]

    def release(self, selector: Selector) -> None:
        self._uses[selector] -= 1
        if not self._uses[selector]:
            del self._uses[selector], self._selected[selector]
            for shelf in self._shelves(selector):
                del shelf[selector]

    def selected(self, selector: Selector) -> AbstractSet[int]:
        return self._selected[selector]

    def labels(self, number: int) -> Labels:
        return self._index[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._index)

    def __contains__(self, number: int) -> bool:
        return number in self._index

    def add(self, number: int, labels: Labels) -> list[Selector]:
        """Learn of an identity; the selectors that select it, none of which has it in its live set yet."""
        self._index.add(number, labels)
        return self._matching(labels)

    def remove(self, number: int) -> list[Selector]:
        """Forget an identity; the selectors that selected it, all of which still have it in their live set."""
        matching = self._matching(self._index[number])
        self._index.remove(number)
        return matching

    def relabel(self, number: int, labels: Labels) -> tuple[list[Selector], list[Selector]]:
        """Other labels for a number that keeps its meaning (a prefix with a new cover): selectors gained and lost."""
        before = dict.fromkeys(self.remove(number))
        after = dict.fromkeys(self.add(number, labels))
        return [each for each in after if each not in before], [each for each in before if each not in after]

    def gain(self, selector: Selector, number: int) -> None:
        """Put an identity into the live set. One set at a time, so that unions of them can be kept exact."""
        self._selected[selector].add(number)

    def lose(self, selector: Selector, number: int) -> None:
        self._selected[selector].discard(number)

    def _matching(self, labels: Labels) -> list[Selector]:
        shelves = [self._general, *(self._by_value.get((label.key, label.value), {}) for label in labels)]
        candidates: dict[Selector, None] = {}
        for shelf in shelves:
            candidates.update(shelf)
        return [selector for selector in candidates if selector.matches(labels)]

    def _shelves(self, selector: Selector) -> list[dict[Selector, None]]:
        """Where a selector is looked for: under the values of one requirement that needs a value, or among all."""
        needing = [
            each for each in selector.requirements if each.operator is Operator.IN and each.source != CIDR_SOURCE
        ]
        if not needing:
            return [self._general]
        narrowest = max(needing, key=_narrowness)
        return [self._by_value.setdefault((narrowest.key, value), {}) for value in narrowest.values]


def _sources(label: Label) -> tuple[str, ...]:
    """The sources under which a label is found: its own and any. A named port is none of those that `any` means."""
    return (label.source,) if label.source == PORT_SOURCE else (label.source, ANY_SOURCE)


def _narrowness(requirement: Requirement) -> tuple[bool, int]:
    """Namespaces are shared by many identities; own labels tell them apart better."""
    return ("namespace" not in requirement.key, -len(requirement.values))


def _found(requirement: Requirement, labels: Labels) -> bool:
    return requirement.matches(labels) is not requirement.operator.negative


def _discard(index: dict[Key, set[int]], key: Key, number: int) -> None:
    """Empty sets are not kept: labels that no identity has any more cost nothing."""
    if key in index:
        index[key].discard(number)
        if not index[key]:
            del index[key]
