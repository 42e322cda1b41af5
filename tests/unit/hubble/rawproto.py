"""A decoder and an encoder of protobuf's wire format that know no message: fields by number, and nothing else.

They share nothing with the generated code, so that a wrong field number in our definitions shows.
See https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | float | bytes
_VARINT, _FIXED64, _BYTES = 0, 1, 2


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of every field, in order."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif kind == _FIXED64:
            yield number, struct.unpack_from("<d", data, at)[0]
            at += 8
        elif kind == _BYTES:
            size, at = _varint(data, at)
            yield number, data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def find(data: bytes, *path: int) -> list[Value]:
    """All values at a path of field numbers."""
    found: list[Value] = [data]
    for number in path:
        found = [value for each in found if isinstance(each, bytes) for n, value in fields(each) if n == number]
    return found


def number(field: int, value: int) -> bytes:
    """A field with a number or a truth value."""
    return _written(field << 3 | _VARINT) + _written(value)


def block(field: int, value: bytes | str) -> bytes:
    """A field with a text or a message."""
    data = value.encode() if isinstance(value, str) else value
    return _written(field << 3 | _BYTES) + _written(len(data)) + data


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if not byte & 0x80:
            return value, at


def _written(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
