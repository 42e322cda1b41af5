"""Encoding: keys and values that people write, in the form in which they are decoded, as rows of a map.

What is not given of a value stays as it is in the element that is there, or is 0. A prefix may be written where a key
of an address map is wanted: `192.0.2.0/24`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Final

import numpy as np

from ringfence.abi import IPCACHE_EXACT_KEY, MapSpec
from ringfence.agent.decoding import ENUMS, MACS, SLOTS, is_in_front, parts_of
from ringfence.datapath.addresses import exact_keys, mapped, prefix_keys
from ringfence.errors import BadInput

_PREFIX_FIELDS: Final = ("prefix_length", "family", "address")
_NAMES: Final = "_labels"  # beside a number in a dump, for people


def encoded_key(spec: MapSpec, given: Any) -> Any:
    """A row of the key's type. Raises `BadInput`."""
    assert spec.key is not None
    if isinstance(given, str) and spec.key.names == _PREFIX_FIELDS:
        return prefix_keys([_network(given)]).astype(spec.key)[0]
    if isinstance(given, str) and spec.key == IPCACHE_EXACT_KEY:
        return exact_keys([_network(given)])[0]
    return _Encoder(spec).row(spec.key, given, None, "key")


def encoded_value(spec: MapSpec, given: Any, before: Any) -> Any:
    """A row of the value's type, over the one that is there (None: none). Raises `BadInput`."""
    assert spec.value is not None
    return _Encoder(spec).row(spec.value, given, before, "value")


def _network(text: str) -> Any:
    try:
        return ip_network(text)
    except ValueError as error:
        raise BadInput(f"key: {error}") from error


class _Encoder:
    def __init__(self, spec: MapSpec) -> None:
        self._spec = spec

    def row(self, dtype: np.dtype[Any], given: Any, before: Any, place: str) -> Any:
        """A scalar or a structure."""
        if dtype.names is None:
            return self._number(dtype, given, "", place)
        if not isinstance(given, Mapping):
            raise BadInput(f"{place}: {given!r}; expected fields: {', '.join(_fields(dtype))}")
        row = np.zeros(1, dtype)[0] if before is None else before.copy()
        for name in _order(dtype, given):
            if name not in _fields(dtype):
                raise BadInput(f"{place} has no field {name!r}; there are: {', '.join(_fields(dtype))}")
            row[name] = self._field(row, name, given[name], f"{place}.{name}")
        return row

    def _field(self, row: Any, name: str, given: Any, place: str) -> Any:
        dtype = row.dtype[name]
        if dtype.subdtype is not None:
            return self._array(row, name, given, place)
        if dtype.names is not None:
            return self.row(dtype, given, row[name], place)
        return self._number(dtype, given, name, place)

    def _number(self, dtype: np.dtype[Any], given: Any, name: str, place: str) -> int:
        parts, limits = parts_of(self._spec.name, name), np.iinfo(dtype)
        if parts and isinstance(given, Mapping):
            return sum((int(given.get(part, 0)) & (1 << bits) - 1) << shift for part, shift, bits in parts)
        kind = ENUMS.get(name)
        if kind is not None and isinstance(given, str) and given.upper() in kind.__members__:
            return int(kind[given.upper()])
        if not isinstance(given, int) or isinstance(given, bool):
            words = f" or one of {', '.join(kind.__members__).lower()}" if kind else ""
            raise BadInput(f"{place}: {given!r}; expected a number{words}")
        if not limits.min <= given <= limits.max:
            raise BadInput(f"{place}: {given}; expected {limits.min} to {limits.max}")
        return given

    def _array(self, row: Any, name: str, given: Any, place: str) -> Any:
        element, shape = row.dtype[name].subdtype
        if isinstance(given, str):
            packed = _packed(name, given, shape, place, in_front=is_in_front(row))
            return np.frombuffer(packed, np.uint8)
        if not isinstance(given, Sequence) or len(given) != shape[0]:
            raise BadInput(f"{place}: {given!r}; expected a list of {shape[0]}")
        if len(shape) > 1:
            rows = [each if isinstance(each, Sequence) else [] for each in given]
            if any(len(each) != shape[1] for each in rows):
                raise BadInput(f"{place}: expected lists of {shape[1]}")
            return [[self._number(element, inner, "", place) for inner in each] for each in rows]
        if (self._spec.name, name) in SLOTS:
            return [self._slot(each, place) for each in given]
        return [self._number(element, each, "", place) for each in given]

    def _slot(self, given: Any, place: str) -> int:
        if not isinstance(given, Mapping):
            return self._number(np.dtype("<u8"), given, "", place)
        words = [self._number(np.dtype("<u4"), given.get(part, 0), "", place) for part in ("from_revision", "value")]
        return words[0] << 32 | words[1]


def _fields(dtype: np.dtype[Any]) -> list[str]:
    return [name for name in dtype.names or () if not name.startswith("pad")]


def _order(dtype: np.dtype[Any], given: Mapping[str, Any]) -> list[str]:
    """What is given, in the order of the structure: an address is written by the family before it."""
    asked = [name for name in given if not name.endswith(_NAMES)]
    known = dtype.names or ()
    return sorted(asked, key=lambda name: known.index(name) if name in known else -1)


def _packed(name: str, text: str, shape: tuple[int, ...], place: str, *, in_front: bool) -> bytes:
    """The bytes of a MAC address or an address. Raises `BadInput`."""
    try:
        if name in MACS:
            packed = bytes.fromhex(text.replace(":", ""))
        else:
            address = ip_address(text)
            packed = address.packed.ljust(shape[0], b"\0") if in_front or shape[0] == 4 else mapped(address)
    except ValueError as error:
        raise BadInput(f"{place}: {text!r}: {error}") from error
    if (len(packed),) != shape:
        raise BadInput(f"{place}: {text!r} has {len(packed)} bytes; expected {shape[0]}")
    return packed
