"""Decoding map elements for people: rows of the generated dtypes as plain values, numbers that have names with them."""

from __future__ import annotations

from enum import IntEnum
from ipaddress import ip_address
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ringfence.abi import Aggregation, Delivery, Direction, MapSpec, PeerKind, Reason, Tier, Verdict
from ringfence.api.shapes import MapRow
from ringfence.engine.known import Known

_ENUMS: Final[dict[str, type[IntEnum]]] = {
    "direction": Direction,
    "tier": Tier,
    "peer_kind": PeerKind,
    "verdict": Verdict,
    "reason": Reason,
    "delivery": Delivery,
    "event_aggregation": Aggregation,
}
_IDENTITIES: Final = frozenset({"subject", "peer", "identity", "source_identity", "destination_identity"})
_SLOTS: Final = frozenset(
    {("policy_records", "rule"), *(("peer_records", name) for name in ("identity", "prefix_class", "endpoint"))}
)
_MACS: Final = frozenset({"mac", "host_mac"})
_MAPPED: Final = bytes(10) + b"\xff\xff"
# A connection's verdict is a word of several parts: the API's connections take it apart.
_WORDS_OF_STRUCT: Final = frozenset({"ct4", "ct6"})


class Decoder:
    """Rows of one map as values that JSON has."""

    def __init__(self, spec: MapSpec, known: Known) -> None:
        self._spec = spec
        self._known = known

    def rows(self, keys: npt.NDArray[Any], values: npt.NDArray[Any]) -> list[MapRow]:
        """All elements. Keys of arrays are row numbers."""
        return [{"key": self._decode(k, ""), "value": self._decode(v, "")} for k, v in zip(keys, values, strict=True)]

    def _decode(self, value: Any, name: str) -> Any:
        names = value.dtype.names if isinstance(value, np.void) else None
        if names is None:
            return self._scalar(value, name)
        decoded: dict[str, Any] = {}
        for field in names:
            if field.startswith("pad"):
                continue
            decoded[field] = self._decode(value[field], field)
            if field in _IDENTITIES and isinstance(decoded[field], int) and self._is_identity(value, field):
                decoded[f"{field}_labels"] = list(self._known.labels_of(decoded[field]))
        return decoded

    @staticmethod
    def _is_identity(row: Any, field: str) -> bool:
        return field != "peer" or row["peer_kind"] == PeerKind.IDENTITY

    def _scalar(self, value: Any, name: str) -> Any:
        if isinstance(value, np.ndarray):
            return self._array(value, name)
        number = int(value)
        kind = _ENUMS.get(name) if self._spec.name not in _WORDS_OF_STRUCT else None
        try:
            return kind(number).name.lower() if kind is not None else number
        except ValueError:
            return number

    def _array(self, array: npt.NDArray[Any], name: str) -> Any:
        if name in _MACS:
            return array.tobytes().hex(":")
        if array.dtype == np.uint8 and array.size in (4, 16):
            return _address_text(array.tobytes(), is_prefix=self._spec.name == "ipcache")
        if (self._spec.name, name) in _SLOTS:
            return [self._slot(int(word), name) for word in array]
        return array.tolist()

    def _slot(self, word: int, name: str) -> dict[str, Any]:
        revision, value = word >> 32, word & 0xFFFFFFFF
        slot: dict[str, Any] = {"from_revision": revision, "value": value}
        if name == "identity":
            slot["labels"] = list(self._known.labels_of(value))
        rule = self._known.rule_of(value) if name == "rule" and value else None
        return slot | ({"text": rule.text} if rule else {})


def _address_text(packed: bytes, *, is_prefix: bool) -> str:
    """Sixteen bytes are IPv6, or IPv4 mapped; in the trie IPv4 stands in the first four."""
    if len(packed) == 16 and packed[:12] == _MAPPED:
        return str(ip_address(packed[12:]))
    if is_prefix and not any(packed[4:]):
        return str(ip_address(packed[:4]))
    return str(ip_address(packed))


def occupied(rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """The numbers of the rows that are not all zero."""
    plain = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.flatnonzero(plain.any(axis=1))
