"""An ELF object as the BPF compiler writes it: its sections and its symbols.

Only what reading a layout needs: 64-bit little-endian relocatable files. Bytes in, no I/O.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SECTION_TYPE_SYMBOLS = 2
_SECTION_TYPE_NO_BITS = 8


class MalformedObjectError(ValueError):
    """The bytes are not an object that this reader understands."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section; `data` is empty for one that takes no space in the file (`.bss`)."""

    name: str
    index: int
    size: int
    data: bytes
    kind: int
    link: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named place: `value` is the offset in bytes into the section with index `section`."""

    name: str
    section: int
    value: int
    size: int


def text_at(table: bytes, offset: int) -> str:
    """The NUL-terminated string at an offset of a string table."""
    return table[offset : table.index(b"\0", offset)].decode()


def _raw_sections(data: bytes) -> tuple[list[tuple[int, ...]], int]:
    if data[:6] != b"\x7fELF\x02\x01":
        raise MalformedObjectError("not a 64-bit little-endian ELF file")
    header = _HEADER.unpack_from(data)
    start, count, names = header[6], header[12], header[13]
    return [_SECTION.unpack_from(data, start + i * _SECTION.size) for i in range(count)], names


def read_sections(data: bytes) -> list[Section]:
    """All sections in file order. Raises `MalformedObjectError` when the bytes are no such file."""
    raw, names_index = _raw_sections(data)
    names = data[raw[names_index][4] :]
    sections = []
    for index, (name, kind, _flags, _address, offset, size, link, *_rest) in enumerate(raw):
        body = b"" if kind == _SECTION_TYPE_NO_BITS else data[offset : offset + size]
        sections.append(Section(text_at(names, name), index, size, body, kind, link))
    return sections


def read_symbols(sections: list[Section]) -> list[Symbol]:
    """All named symbols of the object."""
    symbols = []
    for section in sections:
        if section.kind != _SECTION_TYPE_SYMBOLS:
            continue
        names = sections[section.link].data
        for name, _info, _other, place, value, size in _SYMBOL.iter_unpack(section.data):
            if name:
                symbols.append(Symbol(text_at(names, name), place, value, size))
    return symbols
