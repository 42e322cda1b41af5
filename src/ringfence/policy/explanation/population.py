"""The workloads there are, and whether a selector selects any of them: one that does was written for those."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from ringfence.labels import Labels
from ringfence.selector import CIDR_SOURCE, Operator, Requirement, Selector


class Population:
    """Workloads by their labels, so that few of them are tried."""

    def __init__(self, labels: Iterable[Labels]) -> None:
        self._all = list(labels)
        self._nobody: dict[Selector, bool] = {}

    @cached_property
    def _with(self) -> dict[tuple[str, str], list[Labels]]:
        found: dict[tuple[str, str], list[Labels]] = {}
        for each in dict.fromkeys(self._all):
            for label in each:
                found.setdefault((label.key, label.value), []).append(each)
        return found

    def has_none(self, selector: Selector) -> bool:
        """Whether a selector selects none of them."""
        if selector not in self._nobody:
            self._nobody[selector] = not any(map(selector.matches, self._candidates(selector)))
        return self._nobody[selector]

    def _candidates(self, selector: Selector) -> list[Labels]:
        asking = [each for each in selector.requirements if each.operator is Operator.IN and each.source != CIDR_SOURCE]
        return min((self._having(each) for each in asking), key=len, default=self._all)

    def _having(self, requirement: Requirement) -> list[Labels]:
        return [each for value in requirement.values for each in self._with.get((requirement.key, value), ())]
