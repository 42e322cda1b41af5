"""The table: events and their names as columns that people ask, and back again.

Every number of an event is a column, as itself or, where it stands for a word, as the word: a row becomes the same
event again, bit for bit. Beside them stands what a flow of that event tells, as texts. Which rule decided, or what a
match is called, is asked of `flow`, for one row of each combination of the numbers that it depends on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa

from ringfence.abi import EVENT, Direction
from ringfence.flow.decode import Events, asked_ports
from ringfence.flow.enrich import Names, flow_rule, flows
from ringfence.flow.flow import FlowRule
from ringfence.flow.format import to_dict
from ringfence.history.columns import Coded, Column, addresses, contiguous
from ringfence.history.names import StoredNames
from ringfence.traffic import format_traffic

SIDES: Final = ("source", "destination")
#: Columns that are a field of the event as it is.
NUMBERS: Final = {
    "source_port": "source_port",
    "source_identity": "source_identity",
    "destination_port": "destination_port",
    "destination_identity": "destination_identity",
    "length": "length",
    "revision": "revision",
    "ifindex": "ifindex",
    "family": "family",
    "icmp_type": "icmp_type",
    "tcp_flag_bits": "tcp_flags",
    "source_endpoint_id": "source_endpoint",
    "destination_endpoint_id": "destination_endpoint",
    "service_number": "service",
    "egress_rule_number": "egress_rule",
    "ingress_rule_number": "ingress_rule",
    "egress_shape": "egress_shape",
    "ingress_shape": "ingress_shape",
}
#: Columns that are half of a field: of the connection as it was opened, and of its replies.
HALVES: Final = {
    "packets": ("packets", 0),
    "bytes": ("bytes", 0),
    "reply_packets": ("packets", 1),
    "reply_bytes": ("bytes", 1),
}
#: Where a flow's document tells the words that depend on `_KINDS` alone.
_WORDS: Final = ("kind", "verdict", "reason", "direction", "status", "protocol", "match")
_KINDS: Final = ("kind", "verdict", "reason", "direction", "status", "protocol", "egress_shape", "ingress_shape")
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())


def _end(side: str) -> list[tuple[str, pa.DataType]]:
    numbers = [(f"{side}_port", pa.uint16()), (f"{side}_identity", pa.uint32())]
    return [(f"{side}_address", _TEXT), *numbers, (f"{side}_labels", _TEXT), (f"{side}_endpoint", _TEXT)]


#: The columns in the order that people read them; the last are those for machines.
SCHEMA: Final = pa.schema(
    [
        ("time", pa.timestamp("ns", "UTC")),
        *((name, _TEXT) for name in ("kind", "verdict", "reason", "direction", "status")),
        *_end("source"),
        *_end("destination"),
        *((name, _TEXT) for name in ("protocol", "port", "tcp_flags", "rule", "policy", "origin", "match", "service")),
        *((f"{side}_{name}", _TEXT) for side in ("egress", "ingress") for name in ("rule", "policy", "origin")),
        *((name, pa.uint64()) for name in HALVES),
        *(
            (name, pa.uint32())
            for name in ("length", "revision", "ifindex", "egress_rule_number", "ingress_rule_number")
        ),
        *((name, pa.uint16()) for name in ("source_endpoint_id", "destination_endpoint_id", "service_number")),
        *((name, pa.uint8()) for name in ("family", "icmp_type", "tcp_flag_bits", "egress_shape", "ingress_shape")),
    ]
)
Fields = Mapping[str, Column]
Texts = dict[str, pa.DictionaryArray]
_FIELDS: Final = [name for name in EVENT.names or () if not name.startswith("pad")]


def to_table(events: Events, names: Names) -> pa.Table:
    """The events as rows of SCHEMA, in their order. Times are ns since the epoch."""
    fields = contiguous(events, _FIELDS)
    columns: dict[str, Any] = {"time": pa.array(fields["time"].view(np.int64)).cast(SCHEMA.field("time").type)}
    columns |= {name: pa.array(fields[field]) for name, field in NUMBERS.items()}
    columns |= {name: pa.array(np.ascontiguousarray(fields[field][:, at])) for name, (field, at) in HALVES.items()}
    columns |= _words(fields) | _rules(events, fields, names) | _traffic(fields)
    for side in SIDES:
        columns |= _party(side, fields, names)
    rows = fields["service"]
    columns["service"] = Coded.of(rows).named(rows, lambda row: names.service_of(row) if row else None)
    return pa.table([columns[name] for name in SCHEMA.names], SCHEMA)


def _words(fields: Fields) -> Texts:
    coded = Coded.of(*(fields[name] for name in _KINDS))
    told = [_document(_KINDS, kinds) for kinds in coded.rows(*(fields[name] for name in _KINDS))]
    return {name: coded.texts([each[name] for each in told]) for name in _WORDS}


def _rules(events: Events, fields: Fields, names: Names) -> Texts:
    sides = {side: RuleColumn.of(fields[f"{side}_rule"], names) for side in ("egress", "ingress")}
    decided = RuleColumn.of(_deciding(events, fields, sides, names), names)
    found = decided.texts("rule", "policy", "origin")
    for side, column in sides.items():
        found |= column.texts(f"{side}_rule", f"{side}_policy", f"{side}_origin")
    return found


def _deciding(events: Events, fields: Fields, sides: Mapping[str, RuleColumn], names: Names) -> Column:
    """The number of the rule that decided, 0 where none did. Which direction's it is depends on the verdict, and on
    which of the two there are and were written by a policy: a flow tells, for one row of each such case.
    """
    cases = Coded.of(fields["verdict"], fields["direction"], *(column.written for column in sides.values()))
    told = list(flows(events[cases.first], names))
    number = np.zeros(len(events), np.uint32)
    for side in sides:
        decides = np.array([flow.rule is not None and flow.rule is getattr(flow, side) for flow in told])
        number = np.where(decides[cases.codes], fields[f"{side}_rule"], number)
    return number


@dataclass(frozen=True, slots=True)
class RuleColumn:
    """A column of rule numbers, and what its distinct ones tell."""

    coded: Coded
    rules: list[FlowRule | None]

    @classmethod
    def of(cls, numbers: Column, names: Names) -> Self:
        """Each distinct number is looked up once."""
        coded = Coded.of(numbers)
        return cls(coded, [flow_rule(number, names) for number in numbers[coded.first].tolist()])

    @property
    def written(self) -> Column:
        """Of every row: 0 without a rule, 1 with a default, 2 with one that a policy wrote."""
        found = np.array([0 if rule is None else 2 if rule.policy else 1 for rule in self.rules], np.uint8)
        return found[self.coded.codes]

    def texts(self, text: str, policy: str, origin: str) -> Texts:
        """Text, policy and origin of the rules as columns of these names."""
        return {
            text: self.coded.texts([rule and rule.text for rule in self.rules]),
            policy: self.coded.texts([rule and rule.policy for rule in self.rules]),
            origin: self.coded.texts([rule and rule.origin for rule in self.rules]),
        }


def _traffic(fields: Fields) -> Texts:
    ports, flags, protocols = asked_ports(fields), fields["tcp_flags"], fields["protocol"]
    asked, flagged = Coded.of(protocols, ports), Coded.of(flags, protocols)
    told = [_document(("tcp_flags", "protocol"), each)["tcp_flags"] for each in flagged.rows(flags, protocols)]
    return {
        "port": asked.texts([format_traffic(*each) for each in asked.rows(protocols, ports)]),
        "tcp_flags": flagged.texts(told),
    }


@lru_cache(maxsize=4096)
def _document(names: tuple[str, ...], values: tuple[int, ...]) -> Mapping[str, Any]:
    """What a flow tells of an event of which only these fields are known."""
    event = np.zeros(1, EVENT)
    event["direction"] = Direction.INGRESS  # every event has one
    for name, value in zip(names, values, strict=True):
        event[name] = value
    return to_dict(next(flows(event, StoredNames())))


def _party(side: str, fields: Fields, names: Names) -> Texts:
    identities, rows = fields[f"{side}_identity"], fields[f"{side}_endpoint"]
    return {
        f"{side}_address": addresses(fields[side], fields["family"]),
        f"{side}_labels": Coded.of(identities).named(identities, lambda number: ",".join(names.labels_of(number))),
        f"{side}_endpoint": Coded.of(rows).named(rows, lambda row: names.endpoint_of(row) if row else None),
    }
