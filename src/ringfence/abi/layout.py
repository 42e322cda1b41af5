"""The layout of a BPF object: the enums, structs, maps and knobs that user space shares with it.

`read_layout` derives it from the object's BTF: for the generator of this package's other modules, and for the loader,
which refuses an object whose digest differs from the generated one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ringfence.abi.btf import Btf, Kind, Type, is_bool, is_signed
from ringfence.abi.elf import MalformedObjectError, Section, Symbol, read_sections, read_symbols
from ringfence.abi.spec import Knob, MapSpec, MapType

# Types that no map names are exported to us as members of this struct.
EXPORTS = "abi_exports"
_WIRE_ORDER = {"__be16": ">u2", "__be32": ">u4", "__be64": ">u8"}
_DATA_SECTIONS = (".data", ".bss")

DType: TypeAlias = "np.dtype[Any]"


@dataclass(slots=True)
class Layout:
    """Everything shared: enum members by C name, struct dtypes by C name, maps and data sections, knobs.

    `knob_offsets` are bytes into `.rodata`; they belong to this object alone.
    """

    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    structs: dict[str, DType] = field(default_factory=dict)
    maps: dict[str, MapSpec] = field(default_factory=dict)
    knobs: dict[str, Knob] = field(default_factory=dict)
    knob_offsets: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256, in hex, over the canonical text of enums, structs and maps (without sizes and knobs)."""
        return hashlib.sha256("\n".join(self._canonical()).encode()).hexdigest()

    def _canonical(self) -> Iterator[str]:
        for name, members in sorted(self.enums.items()):
            yield f"enum {name} " + " ".join(f"{member}={value}" for member, value in members.items())
        for name, dtype in sorted(self.structs.items()):
            yield f"struct {name} {describe(dtype)}"
        for name, spec in sorted(self.maps.items()):
            key, value = (describe(d) if d is not None else "-" for d in (spec.key, spec.value))
            yield f"map {name} {spec.type.name} {key} {value} {spec.flags}"


def describe(dtype: DType) -> str:
    """A dtype in one line: offsets, names, formats and size, down to the scalars."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return f"{describe(base)}[{','.join(map(str, shape))}]"
    if dtype.fields is None:
        return dtype.str
    parts = (f"{item[1]}:{name}:{describe(item[0])}" for name, item in dtype.fields.items())
    return f"{{{' '.join(parts)} /{dtype.itemsize}}}"


def read_layout(data: bytes) -> Layout:
    """The layout of a compiled object's bytes. Raises `MalformedObjectError` when it has none that we understand."""
    sections = read_sections(data)
    btf_section = next((s for s in sections if s.name == ".BTF"), None)
    if btf_section is None:
        raise MalformedObjectError("no BTF: the object was compiled without -g")
    return _Reader(Btf(btf_section.data), sections, read_symbols(sections)).read()


class _Reader:
    """Walks from the roots (exports, maps, data sections) to every struct and enum that they reach."""

    def __init__(self, btf: Btf, sections: list[Section], symbols: list[Symbol]) -> None:
        self.btf = btf
        self.sections = {s.name: s for s in sections}
        self.symbols = {(s.section, s.name): s for s in symbols}
        self.layout = Layout()

    def read(self) -> Layout:
        exports = self.btf.find(Kind.STRUCT, EXPORTS)
        for member in self.btf.members(exports) if exports else ():
            self.dtype(member.type)
        for section in self.btf.of_kind(Kind.DATASEC):
            if section.name == ".maps":
                self._maps(section)
            elif section.name.startswith(_DATA_SECTIONS):
                self._data_map(section)
            elif section.name == ".rodata":
                self._knobs(section)
        return self.layout

    def dtype(self, number: int) -> DType:
        """The dtype of a type, noting the structs and enums met on the way."""
        for alias in self.btf.aliases(number):
            if alias in _WIRE_ORDER:
                return np.dtype(_WIRE_ORDER[alias])
        bare = self.btf.strip(number)
        read = {
            Kind.INT: _integer,
            Kind.ENUM: self._enum,
            Kind.ENUM64: self._enum,
            Kind.ARRAY: self._array,
            Kind.STRUCT: self._struct,
        }.get(bare.kind)
        if read is None:
            raise MalformedObjectError(f"type {bare.name!r} of kind {bare.kind.name} in the ABI")
        return read(bare)

    def _enum(self, enum: Type) -> DType:
        if enum.name:
            self.layout.enums[enum.name] = self.btf.enum_values(enum)
        return np.dtype(f"<{'i' if enum.flag else 'u'}{enum.ref}")

    def _array(self, array: Type) -> DType:
        element, _index, count = array.items[0]
        inner = self.dtype(element)
        base, shape = inner.subdtype or (inner, ())
        return np.dtype((base, (count, *shape)))

    def _struct(self, struct: Type) -> DType:
        members = list(self.btf.members(struct))
        names = [m.name for m in members]
        dtype = _record(names, [self.dtype(m.type) for m in members], [m.offset for m in members], struct.ref)
        if struct.name:
            self.layout.structs[struct.name] = dtype
        return dtype

    def _maps(self, section: Type) -> None:
        for number, _offset, _size in section.items:
            variable = self.btf.types[number]
            self.layout.maps[variable.name] = self._map(variable.name, self.btf.strip(variable.ref))

    def _map(self, name: str, definition: Type) -> MapSpec:
        members = {m.name: self.btf.strip(m.type).ref for m in self.btf.members(definition)}
        numbers = {n: self._uint(members[n]) for n in ("type", "max_entries", "map_flags") if n in members}
        key, value = (self._element(members[n]) if n in members else None for n in ("key", "value"))
        if numbers["type"] == MapType.ARRAY_OF_MAPS:
            value = np.dtype("<u4")  # a descriptor when written, the inner map's number when read
        flags, entries = numbers.get("map_flags", 0), numbers.get("max_entries", 0)
        return MapSpec(name, MapType(numbers["type"]), key, value, entries, flags)

    def _element(self, number: int) -> DType:
        """The dtype of a key or value; plain bytes for the programs' own scratch, which has unions or pointers."""
        before = dict(self.layout.structs), dict(self.layout.enums)
        try:
            return self.dtype(number)
        except MalformedObjectError:
            self.layout.structs, self.layout.enums = before
            return np.dtype((np.void, self.btf.strip(number).ref))

    def _uint(self, number: int) -> int:
        """The value of `__uint(name, value)`: the length of the array that the member points to."""
        return self.btf.strip(number).items[0][2]

    def _variables(self, section: Type) -> Iterator[tuple[Type, int]]:
        """Variables of a data section. An unlinked object's BTF has no offsets yet, the symbols do."""
        index = self.sections[section.name].index
        for number, _offset, _size in section.items:
            variable = self.btf.types[number]
            symbol = self.symbols[index, variable.name]
            yield variable, symbol.value

    def _data_map(self, section: Type) -> None:
        rows = sorted(self._variables(section), key=lambda row: row[1])
        names, offsets = [variable.name for variable, _ in rows], [offset for _, offset in rows]
        dtypes = [self.dtype(variable.ref) for variable, _ in rows]
        value = _record(names, dtypes, offsets, self.sections[section.name].size)
        self.layout.maps[section.name] = MapSpec.of_section(section.name, value)

    def _knobs(self, section: Type) -> None:
        data = self.sections[section.name].data
        for variable, offset in self._variables(section):
            for description in self.btf.tags(variable.number):
                dtype = self.dtype(variable.ref)
                default = int(np.frombuffer(data, dtype, 1, offset)[0])
                self.layout.knobs[variable.name] = Knob(variable.name, dtype, default, description)
                self.layout.knob_offsets[variable.name] = offset


def _integer(integer: Type) -> DType:
    return np.dtype("?" if is_bool(integer) else f"<{'i' if is_signed(integer) else 'u'}{integer.ref}")


def _record(names: list[str], formats: list[DType], offsets: list[int], size: int) -> DType:
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})
