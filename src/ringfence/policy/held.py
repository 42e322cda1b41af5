"""What a map holds, sorted for a proof: for each subject and direction a row of entries for each peer number.

Rows of the same content have the same number, whichever subject and peer they are of: what the datapath finds in them
is the same, so it is asked once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from ringfence.abi import Direction
from ringfence.policy.classes import Span
from ringfence.policy.lookup import Entries
from ringfence.policy.mapstate import PolicyKey
from ringfence.traffic import PORT_BITS
from ringfence.verdict import RuleText

#: Bits of a key's prefix that name the protocol; the bits of the port come on top (bpf/abi.h).
_PROTOCOL_BITS: Final = 8

PeerNumber = tuple[int, int]


class EntryRow(NamedTuple):
    """The keys of one subject, direction and peer number, and the number of their content."""

    number: int
    keys: tuple[PolicyKey, ...]


class Table:
    """Entries as plain values: for each key the rules that would decide alike by it, the one that is named first."""

    def __init__(self, tied: Mapping[PolicyKey, tuple[RuleText, ...]]) -> None:
        self._tied = tied

    def items(self) -> Iterator[tuple[PolicyKey, RuleText]]:
        return ((key, tied[0]) for key, tied in self._tied.items())

    def winner(self, key: PolicyKey) -> RuleText | None:
        tied = self._tied.get(key)
        return tied[0] if tied else None

    def tied(self, key: PolicyKey) -> tuple[RuleText, ...]:
        return self._tied[key]

    def spans(self) -> Iterator[Span]:
        """The ports that keys stand for, of those that name a protocol."""
        for key in self._tied:
            if key.prefix:
                spare = PORT_BITS - max(key.prefix - _PROTOCOL_BITS, 0)
                yield Span(key.protocol, key.port, key.port | (1 << spare) - 1)


class Held:
    """The entries of a map, by subject, direction and peer number."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        sorted_out: dict[tuple[int, int], dict[PeerNumber, list[PolicyKey]]] = {}
        for key in dict(entries.items()):
            row = sorted_out.setdefault((key.direction, key.subject), {})
            row.setdefault((key.peer_kind, key.peer), []).append(key)
        self._numbers: dict[frozenset[object], int] = {}
        self._rows = {
            place: {peer: self._row(keys) for peer, keys in rows.items()} for place, rows in sorted_out.items()
        }

    def __len__(self) -> int:
        return sum(len(row.keys) for rows in self._rows.values() for row in rows.values())

    def of(self, direction: Direction, subject: int) -> Mapping[PeerNumber, EntryRow]:
        """The rows of a subject, by kind and number of the peer."""
        return self._rows.get((direction, subject), {})

    def entries(self, rows: Iterable[EntryRow]) -> Table:
        """What some rows hold."""
        return Table({key: self._entries.tied(key) for row in rows for key in row.keys})

    def _row(self, keys: list[PolicyKey]) -> EntryRow:
        content = frozenset(
            (key.tier, key.peer_kind, key.prefix, key.protocol, key.port, self._entries.tied(key)) for key in keys
        )
        return EntryRow(self._numbers.setdefault(content, len(self._numbers) + 1), tuple(keys))
