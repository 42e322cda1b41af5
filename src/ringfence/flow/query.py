"""A query: which events somebody asked for, as a list of filters of which any may agree and one of which none may.

Over the API a filter is a JSON object with the fields of `FlowFilter.from_fields`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ringfence.errors import BadInput
from ringfence.flow.columns import Batch, Mask
from ringfence.flow.decode import Events, picked
from ringfence.flow.enrich import Names
from ringfence.flow.filter import FlowFilter


@dataclass(frozen=True, slots=True)
class FlowQuery:
    """Events that any of `allow` agrees with (all, if there is none) and none of `deny`."""

    allow: tuple[FlowFilter, ...] = ()
    deny: tuple[FlowFilter, ...] = ()

    @classmethod
    def parse(cls, allow: Sequence[str], deny: Sequence[str]) -> FlowQuery:
        """Read filters as JSON texts. Raises `BadInput` for what is no filter."""
        return cls.from_fields(map(_fields, allow), map(_fields, deny))

    @classmethod
    def from_fields(cls, allow: Iterable[Mapping[str, object]], deny: Iterable[Mapping[str, object]] = ()) -> FlowQuery:
        """Filters by their fields. Raises `BadInput` for what is no filter."""
        return cls(tuple(map(FlowFilter.from_fields, allow)), tuple(map(FlowFilter.from_fields, deny)))

    def mask(self, batch: Batch) -> Mask:
        """Which rows were asked for."""
        mask = np.ones(len(batch), bool)
        if self.allow:
            mask &= np.logical_or.reduce([each.mask(batch) for each in self.allow])
        for each in self.deny:
            mask &= ~each.mask(batch)
        return mask

    def select(self, events: Events, names: Names) -> Events:
        """The rows that were asked for, in order."""
        if not self.allow and not self.deny:
            return events
        return picked(events, self.mask(Batch(events, names)))


def _fields(text: str) -> dict[str, object]:
    try:
        fields: Any = json.loads(text)
    except ValueError as error:
        raise BadInput(f"a filter that is no JSON: {text!r}") from error
    if not isinstance(fields, dict):
        raise BadInput(f"a filter is a JSON object, not {text!r}")
    return fields
