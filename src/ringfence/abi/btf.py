"""BTF: the type information that the compiler puts into a BPF object, read into plain values.

The format is that of Documentation/bpf/btf.rst in the kernel's tree. Bytes in, no I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from ringfence.abi.elf import MalformedObjectError, text_at

_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MAGIC = 0xEB9F


class Kind(IntEnum):
    """BTF_KIND_*, by their numbers in linux/btf.h."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


# What follows the three words of a type: the format of one item, and whether there are `vlen` of them or one.
_ONE = {Kind.INT: "<I", Kind.ARRAY: "<III", Kind.VAR: "<I", Kind.DECL_TAG: "<i"}
_MANY = {
    Kind.STRUCT: "<III",
    Kind.UNION: "<III",
    Kind.ENUM: "<Ii",
    Kind.FUNC_PROTO: "<II",
    Kind.DATASEC: "<III",
    Kind.ENUM64: "<III",
}
_TRANSPARENT = {Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG}
_INT_SIGNED = 1
_INT_BOOL = 4


@dataclass(frozen=True, slots=True)
class Type:
    """One type. `ref` is its size in bytes or the number of the type it refers to, as its kind has it."""

    number: int
    kind: Kind
    name: str
    flag: bool
    ref: int
    items: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a struct or union; the offset is in bytes."""

    name: str
    type: int
    offset: int


class Btf:
    """The types of one object, by number."""

    def __init__(self, data: bytes) -> None:
        magic, _version, _flags, header, type_offset, type_size, text_offset, text_size = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise MalformedObjectError("no BTF: the object was compiled without -g")
        self._text = data[header + text_offset : header + text_offset + text_size]
        body = data[header + type_offset : header + type_offset + type_size]
        self.types = [Type(0, Kind.VOID, "void", flag=False, ref=0, items=())]
        self.types.extend(self._decode(body))

    def _decode(self, body: bytes) -> Iterator[Type]:
        offset, number = 0, 1
        while offset < len(body):
            name, info, ref = _TYPE.unpack_from(body, offset)
            offset += _TYPE.size
            kind = Kind(info >> 24 & 0x1F)
            item = struct.Struct(_ONE.get(kind) or _MANY.get(kind) or "<")
            count = info & 0xFFFF if kind in _MANY else int(kind in _ONE)
            items = tuple(item.unpack_from(body, offset + i * item.size) for i in range(count))
            offset += count * item.size
            yield Type(number, kind, self.text(name), flag=bool(info >> 31), ref=ref, items=items)
            number += 1

    def text(self, offset: int) -> str:
        """The string at an offset of the string table."""
        return text_at(self._text, offset)

    def strip(self, number: int) -> Type:
        """The type behind typedefs and qualifiers."""
        found = self.types[number]
        while found.kind in _TRANSPARENT:
            found = self.types[found.ref]
        return found

    def aliases(self, number: int) -> Iterator[str]:
        """Names of the typedefs on the way to the bare type, outermost first."""
        found = self.types[number]
        while found.kind in _TRANSPARENT:
            if found.kind is Kind.TYPEDEF:
                yield found.name
            found = self.types[found.ref]

    def find(self, kind: Kind, name: str) -> Type | None:
        """The first type of this kind and name."""
        return next((t for t in self.types if t.kind is kind and t.name == name), None)

    def of_kind(self, kind: Kind) -> Iterator[Type]:
        """All types of one kind, in order."""
        return (t for t in self.types if t.kind is kind)

    def members(self, struct_type: Type) -> Iterator[Member]:
        """The fields of a struct or union. Raises `MalformedObjectError` for a bitfield: the ABI has none."""
        for name, number, bits in struct_type.items:
            if bits % 8 or (struct_type.flag and bits >> 24):
                raise MalformedObjectError(f"bitfield {self.text(name)} in {struct_type.name}")
            yield Member(self.text(name), number, bits // 8)

    def enum_values(self, enum: Type) -> dict[str, int]:
        """Member names as in C, with their values."""
        if enum.kind is Kind.ENUM64:
            return {self.text(name): high << 32 | low for name, low, high in enum.items}
        mask = -1 if enum.flag else 0xFFFFFFFF
        return {self.text(name): value & mask for name, value in enum.items}

    def tags(self, number: int) -> list[str]:
        """Texts of the declaration tags on a whole type or variable."""
        return [t.name for t in self.of_kind(Kind.DECL_TAG) if t.ref == number and t.items[0][0] == -1]


def is_signed(integer: Type) -> bool:
    """Whether a BTF_KIND_INT is signed."""
    return bool(integer.items[0][0] >> 24 & _INT_SIGNED)


def is_bool(integer: Type) -> bool:
    """Whether a BTF_KIND_INT is a C bool."""
    return bool(integer.items[0][0] >> 24 & _INT_BOOL)
