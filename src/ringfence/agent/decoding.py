"""Decoding map elements for people: rows of the generated dtypes as plain values, numbers that have names with them."""

from __future__ import annotations

from enum import IntEnum
from ipaddress import ip_address
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ringfence.abi import (
    Aggregation,
    CtStatus,
    Delivery,
    Direction,
    EventKind,
    MapSpec,
    PeerKind,
    Reason,
    ServiceScope,
    Tier,
    Verdict,
)
from ringfence.api.shapes import MapRow
from ringfence.engine.known import Known

#: The enum that a field of this name holds, in every map but conntrack's.
ENUMS: Final[dict[str, type[IntEnum]]] = {
    "direction": Direction,
    "tier": Tier,
    "peer_kind": PeerKind,
    "verdict": Verdict,
    "reason": Reason,
    "kind": EventKind,
    "status": CtStatus,
    "delivery": Delivery,
    "aggregation": Aggregation,
    "scope": ServiceScope,
    "event_aggregation": Aggregation,
}
_IDENTITIES: Final = frozenset({"subject", "peer", "identity", "source_identity", "destination_identity"})
#: Fields of two slots, by map.
SLOTS: Final = frozenset(
    {
        ("policy_records", "rule"),
        ("service_records", "table"),
        ("backends", "state"),
        *(("peer_records", name) for name in ("identity", "prefix_class", "endpoint")),
    }
)
MACS: Final = frozenset({"mac", "host_mac"})
_MAPPED: Final = bytes(10) + b"\xff\xff"
Part = tuple[str, int, int]  # name, lowest bit, how many
_CONNTRACK: Final = frozenset({"ct4", "ct6"})
_CT_WORDS: Final[dict[str, tuple[Part, ...]]] = {
    "verdict": (("revision", 32, 32), ("tag", 8, 24), ("flags", 0, 8)),
    "endpoints": (("tag", 32, 32), ("destination", 16, 16), ("source", 0, 16)),
}


class Decoder:
    """Rows of one map as values that JSON has."""

    def __init__(self, spec: MapSpec, known: Known) -> None:
        self._spec = spec
        self._known = known

    def rows(self, keys: npt.NDArray[Any], values: npt.NDArray[Any]) -> list[MapRow]:
        """All elements. Keys of arrays are row numbers."""
        return [{"key": self.value(k), "value": self.value(v)} for k, v in zip(keys, values, strict=True)]

    def value(self, element: Any) -> Any:
        """One key or value."""
        return self._decode(element, "", None)

    def _decode(self, value: Any, name: str, row: Any) -> Any:
        names = value.dtype.names if isinstance(value, np.void) else None
        if names is None:
            return self._scalar(value, name, row)
        decoded: dict[str, Any] = {}
        for field in names:
            if field.startswith("pad"):
                continue
            decoded[field] = self._decode(value[field], field, value)
            if field in _IDENTITIES and isinstance(decoded[field], int) and self._is_identity(value, field):
                decoded[f"{field}_labels"] = list(self._known.labels_of(decoded[field]))
        return decoded

    @staticmethod
    def _is_identity(row: Any, field: str) -> bool:
        return field != "peer" or row["peer_kind"] == PeerKind.IDENTITY

    def _scalar(self, value: Any, name: str, row: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._array(value, name, row)
        number = int(value)
        if parts := parts_of(self._spec.name, name):
            return {part: number >> shift & (1 << bits) - 1 for part, shift, bits in parts}
        kind = ENUMS.get(name)
        try:
            return kind(number).name.lower() if kind is not None else number
        except ValueError:
            return number

    def _array(self, array: npt.NDArray[Any], name: str, row: Any) -> Any:
        if name in MACS:
            return array.tobytes().hex(":")
        if array.dtype == np.uint8 and array.size in (4, 16):
            return _address_text(array.tobytes(), in_front=is_in_front(row))
        if (self._spec.name, name) in SLOTS:
            return [self._slot(int(word), name) for word in array]
        return array.tolist()

    def _slot(self, word: int, name: str) -> dict[str, Any]:
        revision, value = word >> 32, word & 0xFFFFFFFF
        slot: dict[str, Any] = {"from_revision": revision, "value": value}
        if name == "identity":
            slot["labels"] = list(self._known.labels_of(value))
        rule = self._known.rule_of(value) if name == "rule" and value else None
        return slot | ({"text": rule.text} if rule else {})


def parts_of(map_name: str, field: str) -> tuple[Part, ...]:
    """The parts that a field's word is made of; none for a plain number."""
    return _CT_WORDS.get(field, ()) if map_name in _CONNTRACK else ()


def is_in_front(row: Any) -> bool:
    """Whether the address in a key stands in its first four bytes, as IPv4 does in keys of tries."""
    names = (row.dtype.names or ()) if isinstance(row, np.void) else ()
    return "prefix_length" in names and int(row["family"]) == 4


def _address_text(packed: bytes, *, in_front: bool) -> str:
    """Sixteen bytes are IPv6, or IPv4 mapped."""
    if in_front:
        return str(ip_address(packed[:4]))
    if len(packed) == 16 and packed[:12] == _MAPPED:
        return str(ip_address(packed[12:]))
    return str(ip_address(packed))


def occupied(rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """The numbers of the rows that are not all zero."""
    plain = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.flatnonzero(plain.any(axis=1))
