"""Filtering: which events of a batch somebody asked for, decided on columns before any row becomes a `Flow`.

A filter is written as Hubble's FlowFilter (flow.proto), with fields of our own beside it: values of one field are
alternatives, all fields must agree. What ends are asked for by stands in `ends`, the rest in `event_terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ringfence.errors import BadInput
from ringfence.flow.columns import Batch, Mask
from ringfence.flow.decode import Events, picked
from ringfence.flow.ends import END_TERMS, EndTerm, Side, parse_peer
from ringfence.flow.enrich import Names
from ringfence.flow.event_terms import EVENT_TERMS, EventTerm

_SOURCE: Final[tuple[Side, ...]] = ("source",)
_DESTINATION: Final[tuple[Side, ...]] = ("destination",)
_EITHER: Final = _SOURCE + _DESTINATION


@dataclass(frozen=True, slots=True)
class AtEnd:
    """A term for an end, asked of one side or of either."""

    sides: tuple[Side, ...]
    term: EndTerm

    def mask(self, batch: Batch) -> Mask:
        return _any([self.term.mask(batch, side) for side in self.sides])


Parse = Callable[[object], EventTerm]


def _at(sides: tuple[Side, ...], parse: Callable[[str], EndTerm]) -> Parse:
    def read(value: object) -> EventTerm:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise BadInput(f"{value!r} names no end of a flow: write a text or a number")
        return AtEnd(sides, parse(str(value)))

    return read


_ENDS: Final = {"source_": _SOURCE, "destination_": _DESTINATION, "": _EITHER}
#: Every field of a filter, with how one of its values is read.
FIELDS: Final[dict[str, Parse]] = {
    **{f"{end}{name}": _at(sides, parse) for end, sides in _ENDS.items() for name, parse in END_TERMS.items()},
    **EVENT_TERMS,
    "from": _at(_SOURCE, parse_peer),
    "to": _at(_DESTINATION, parse_peer),
}


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """What somebody asked for: for each field its alternatives. An empty filter lets everything through."""

    fields: tuple[tuple[EventTerm, ...], ...] = ()

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> FlowFilter:
        """Read a filter from the fields of a JSON object, each a list of alternatives or one of them; an empty list
        asks for nothing. Raises `BadInput` for a field or a value that there is not, saying what there is.
        """
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise BadInput(f"no filter {unknown[0]!r}; there are: {', '.join(sorted(FIELDS))}")
        read = (tuple(map(FIELDS[name], _alternatives(value))) for name, value in fields.items())
        return cls(tuple(terms for terms in read if terms))

    @classmethod
    def parse(
        cls,
        type: str | None,  # noqa: A002 - the name of the query parameter
        source: list[str],
        destination: list[str],
        port: str | None,
    ) -> FlowFilter:
        """Read the terms of `monitor`. Raises `BadInput`."""
        return cls.from_fields(
            {"type": [type] if type else [], "from": source, "to": destination, "port": [port] if port else []}
        )

    def select(self, events: Events, names: Names) -> Events:
        """The rows that were asked for, in order."""
        return picked(events, self.mask(Batch(events, names)))

    def mask(self, batch: Batch) -> Mask:
        """Which rows were asked for."""
        mask = np.ones(len(batch), bool)
        for terms in self.fields:
            mask &= _any([term.mask(batch) for term in terms])
        return mask


def _alternatives(value: object) -> Sequence[object]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _any(masks: Sequence[Mask]) -> Mask:
    return np.asarray(np.logical_or.reduce(masks)) if len(masks) > 1 else masks[0]
