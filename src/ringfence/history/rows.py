"""Rows: stored flows as events and names again, for whatever filters, digests or formats events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ringfence.abi import EVENT, CtStatus, Direction, EventKind, Reason, Tier, Verdict
from ringfence.errors import RingfenceError
from ringfence.flow.decode import Events, address_bytes
from ringfence.history.columns import Coded, Column
from ringfence.history.names import StoredNames
from ringfence.history.table import HALVES, NUMBERS, SIDES
from ringfence.traffic import format_protocol
from ringfence.verdict import RuleText, reason_text

_WORDS: Final[dict[str, dict[str, int]]] = {
    "kind": {each.name.lower(): each for each in EventKind},
    "verdict": {each.name.lower(): each for each in Verdict},
    "reason": {reason_text(each): each for each in Reason},
    "direction": {each.name.lower(): each for each in Direction},
    "status": {each.name.lower(): each for each in CtStatus},
    "protocol": {format_protocol(number): number for number in range(256)},
}
#: Columns that the first archives do not have.
_LATER: Final[dict[str, pa.DataType]] = {
    "service_number": pa.uint16(),
    "service": pa.dictionary(pa.int32(), pa.string()),
}
_RULES: Final = {"egress": Direction.EGRESS, "ingress": Direction.INGRESS}
#: What is read of a stored flow to make the event again; the rest follows from it.
READ: Final = (
    "time",
    *_WORDS,
    *NUMBERS,
    *HALVES,
    *(f"{side}_{what}" for side in SIDES for what in ("address", "labels", "endpoint")),
    *(f"{side}_{what}" for side in _RULES for what in ("rule", "policy", "origin")),
    "service",
)


def from_table(table: pa.Table) -> tuple[Events, StoredNames]:
    """The events of a table, in order, and what their numbers stood for. Raises `RingfenceError` for words that no
    event has: another version wrote them.

    Of a rule are known its policy, text, origin and direction; the rest of a `RuleText` says nothing.
    """
    table = _completed(table).select(READ).unify_dictionaries().combine_chunks()
    events = np.zeros(len(table), EVENT)
    if not len(table):
        return events, StoredNames()
    events["time"] = table["time"].cast(pa.int64()).to_numpy()
    for name, field in NUMBERS.items():
        events[field] = table[name].to_numpy()
    for name, (field, at) in HALVES.items():
        events[field][:, at] = table[name].to_numpy()
    for name, words in _WORDS.items():
        events[name] = _by_text(table, name, partial(_number, words, name))
    for side in SIDES:
        events[side] = _by_text(table, f"{side}_address", lambda text: list(address_bytes(text)))
    return events, _names(table)


def _completed(table: pa.Table) -> pa.Table:
    """Columns that came later are 0, or say nothing, in what was stored before: there was nothing of the kind."""
    for name, kind in _LATER.items():
        if name not in table.column_names:
            nothing = 0 if pa.types.is_integer(kind) else None
            table = table.append_column(name, pa.array([nothing] * len(table), kind))
    return table


def _number(words: dict[str, int], name: str, text: str) -> int:
    if text not in words:
        raise RingfenceError(f"no event has the {name} {text!r}: another version of Ringfence wrote it")
    return words[text]


def _texts(table: pa.Table, name: str) -> tuple[Column, list[str]]:
    """Codes of a column, -1 where there is none, and what they stand for."""
    column = table[name].chunk(0)
    return column.indices.fill_null(-1).to_numpy(zero_copy_only=False), column.dictionary.to_pylist()


def _by_text(table: pa.Table, name: str, number: Callable[[str], Any]) -> Column:
    codes, texts = _texts(table, name)
    return np.array([number(text) for text in texts], np.uint8)[codes]


def _names(table: pa.Table) -> StoredNames:
    found = StoredNames()
    for side in SIDES:
        for number, labels in _pairs(table, f"{side}_identity", [f"{side}_labels"]):
            found.labels[number] = tuple(labels.split(",")) if labels else ()
        found.endpoints |= dict(_pairs(table, f"{side}_endpoint_id", [f"{side}_endpoint"]))
    for side, direction in _RULES.items():
        texts = [f"{side}_{what}" for what in ("policy", "origin", "rule")]
        for number, *told in _pairs(table, f"{side}_rule_number", texts):
            found.rules[number] = _rule(direction, *told)
    found.services |= dict(_pairs(table, "service_number", ["service"]))
    found.services.pop(0, None)
    found.endpoints.pop(0, None)
    found.rules.pop(0, None)
    return found


def _pairs(table: pa.Table, number: str, texts: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Every distinct number of a column with the texts of one row that has it."""
    numbers = table[number].to_numpy()
    first = Coded.of(numbers).first
    told = [table[name].chunk(0).take(pa.array(first)).to_pylist() for name in texts]
    return zip(numbers[first].tolist(), *told, strict=True)


def _rule(direction: Direction, policy: str, origin: str, text: str) -> RuleText:
    return RuleText(policy, 0, direction, Tier.NORMAL, Verdict.ALLOW, 0, Reason.FORWARDED, origin, text)
