"""Names as they were when events were recorded: what the numbers of a few rows stood for, kept beside the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa

from ringfence.abi import Direction, Reason, Tier, Verdict
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names
from ringfence.verdict import RuleText

#: The fields of an event that name somebody or something.
IDENTITIES: Final = ("source_identity", "destination_identity")
RULES: Final = ("egress_rule", "ingress_rule")
ENDPOINTS: Final = ("source_endpoint", "destination_endpoint")
SERVICES: Final = ("service",)


@dataclass(slots=True)
class StoredNames:
    """`Names` of a number of rows: all that they name, and nothing else."""

    labels: dict[int, tuple[str, ...]] = field(default_factory=dict)
    rules: dict[int, RuleText | None] = field(default_factory=dict)
    endpoints: dict[int, str | None] = field(default_factory=dict)
    services: dict[int, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Events, names: Names) -> Self:
        """What the numbers of these events stand for now, each looked up once."""
        return cls(
            {number: names.labels_of(number) for number in _distinct(events, IDENTITIES)},
            {number: names.rule_of(number) for number in _distinct(events, RULES) if number},
            {number: names.endpoint_of(number) for number in _distinct(events, ENDPOINTS) if number},
            {number: names.service_of(number) for number in _distinct(events, SERVICES) if number},
        )

    def labels_of(self, identity: int) -> tuple[str, ...]:
        """The labels of an identity; empty if they were not known."""
        return self.labels.get(identity, ())

    def rule_of(self, number: int) -> RuleText | None:
        """What a rule number stood for; None if that was not known."""
        return self.rules.get(number)

    def endpoint_of(self, row: int) -> str | None:
        """The name of the endpoint in a row; None if it was not known."""
        return self.endpoints.get(row)

    def service_of(self, row: int) -> str | None:
        """The name of the service in a row; None if it was not known."""
        return self.services.get(row)

    def agrees(self, other: Self) -> bool:
        """Whether no number has one name here and another there: numbers are given out again after a while."""
        pairs: Iterable[tuple[Mapping[int, object], Mapping[int, object]]] = (
            (self.labels, other.labels),
            (self.rules, other.rules),
            (self.endpoints, other.endpoints),
            (self.services, other.services),
        )
        return all(mine.get(number, name) == name for mine, theirs in pairs for number, name in theirs.items())

    def update(self, other: Self) -> None:
        """Take over the names of more rows."""
        self.labels |= other.labels
        self.rules |= other.rules
        self.endpoints |= other.endpoints
        self.services |= other.services

    def to_document(self) -> dict[str, Any]:
        """As JSON can hold them."""
        return {
            "labels": list(self.labels.items()),
            "rules": [[number, asdict(rule) if rule else None] for number, rule in self.rules.items()],
            "endpoints": list(self.endpoints.items()),
            "services": list(self.services.items()),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` wrote. Raises ValueError, KeyError or TypeError for what it did not."""
        return cls(
            {number: tuple(texts) for number, texts in document["labels"]},
            {number: _rule(fields) if fields else None for number, fields in document["rules"]},
            dict(document["endpoints"]),
            dict(document.get("services", ())),
        )


def _distinct(events: Events, fields: Iterable[str]) -> set[int]:
    # Hashing: sorting, as numpy's unique does, takes ten times as long.
    return {number for each in fields for number in pa.array(np.ascontiguousarray(events[each])).unique().to_pylist()}


def _rule(fields: Mapping[str, Any]) -> RuleText:
    kinds = {
        "direction": Direction(fields["direction"]),
        "tier": Tier(fields["tier"]),
        "verdict": Verdict(fields["verdict"]),
        "reason": Reason(fields["reason"]),
    }
    return RuleText(**{**fields, **kinds})
