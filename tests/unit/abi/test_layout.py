"""Layouts read from the BTF of objects that are compiled in the test."""

from __future__ import annotations

import numpy as np
import pytest

from ringfence import abi
from ringfence.abi import MapType
from ringfence.abi.elf import MalformedObjectError
from ringfence.abi.layout import describe, read_layout
from tests.conftest import Compile
from tools.compile_bpf import ROOT

HEAD = '#include "bpf.h"\n'
TAIL = '\nconst char LICENSE[] SEC("license") = "GPL";\n'
PAIR = """
struct inner { __be16 port; __u8 pad[2]; };
struct pair { __be32 address; struct inner ports[2]; __u64 words[2][3]; __s32 signed_word; __u32 pad; };
struct abi_exports { struct pair pair; };
const struct abi_exports *const abi_exports SEC(".rodata") = 0;
"""


def exported(compile_c: Compile, text: str) -> dict[str, np.dtype[np.void]]:
    return read_layout(compile_c(HEAD + text + TAIL)).structs


def test_struct_becomes_dtype_with_the_compilers_offsets(compile_c: Compile) -> None:
    """A struct's dtype has the C compiler's names, offsets and size, wire-order fields big-endian."""
    expected = np.dtype(
        [
            ("address", ">u4"),
            ("ports", [("port", ">u2"), ("pad", "u1", (2,))], (2,)),
            ("words", "<u8", (2, 3)),
            ("signed_word", "<i4"),
            ("pad", "<u4"),
        ],
        align=False,
    )
    found = exported(compile_c, PAIR)["pair"]
    assert expected.names == found.names
    assert found.fields is not None
    assert [0, 4, 16, 64, 68] == [found.fields[name][1] for name in found.names or ()]
    assert expected["ports"] == found["ports"]
    assert expected["words"] == found["words"]
    assert found.itemsize == 72


def test_enum_members_have_their_c_values(compile_c: Compile) -> None:
    """Enum values are read as C has them: negative, beyond 31 bits and beyond 32 bits."""
    text = """
    enum small { SMALL_LOW = -1, SMALL_HIGH = 7 };
    enum mask { MASK_TOP = 0x80000000 };
    enum wide { WIDE_TOP = 0x100000000ULL };
    struct abi_exports { enum small a; enum mask b; enum wide c; };
    const struct abi_exports *const abi_exports SEC(".rodata") = 0;
    """
    enums = read_layout(compile_c(HEAD + text + TAIL)).enums
    assert {"SMALL_LOW": -1, "SMALL_HIGH": 7} == enums["small"]
    assert {"MASK_TOP": 0x80000000} == enums["mask"]
    assert {"WIDE_TOP": 1 << 32} == enums["wide"]


def test_maps_sections_and_knobs_are_found(compile_c: Compile) -> None:
    """Map definitions, data sections with their offsets, and knobs with default and description are read."""
    text = """
    struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 9); __type(key, __u32); __type(value, __u64); }
        seen SEC(".maps");
    volatile __u32 first SEC(".data.pair") = 1;
    volatile __u64 second SEC(".data.pair") = 2;
    const volatile __u16 limit SEC(".rodata") __attribute__((btf_decl_tag("how many"))) = 513;
    SEC("tc") int program(struct __sk_buff *skb) { return skb->len + first + second + limit; }
    """
    layout = read_layout(compile_c(HEAD + text + TAIL))
    seen = layout.maps["seen"]
    assert (MapType.LRU_HASH, 9, np.dtype("<u4"), np.dtype("<u8")) == (
        seen.type,
        seen.max_entries,
        seen.key,
        seen.value,
    )
    assert describe(layout.maps[".data.pair"].value or np.dtype("u1")) == "{0:first:<u4 8:second:<u8 /16}"
    assert (513, "how many") == (layout.knobs["limit"].default, layout.knobs["limit"].description)


def test_bitfield_is_refused(compile_c: Compile) -> None:
    """A bitfield in a shared struct is an error: its layout is the compiler's own business."""
    with pytest.raises(MalformedObjectError, match="bitfield low in pair"):
        exported(compile_c, PAIR.replace("__s32 signed_word", "__u32 low : 3"))


def test_object_without_type_information_is_refused() -> None:
    """Bytes that are no BPF object with BTF are an error, never an empty layout."""
    with pytest.raises(MalformedObjectError):
        read_layout(b"\x7fELF\x01\x01" + bytes(64))


@pytest.mark.parametrize(
    ("old", "new"),
    [("__be32 address", "__u32 address"), ("words[2][3]", "words[3][2]"), ("signed_word", "signed_number")],
)
def test_digest_changes_with_the_layout(compile_c: Compile, old: str, new: str) -> None:
    """Byte order, shape and name of a field are all part of the digest."""
    before = read_layout(compile_c(HEAD + PAIR + TAIL)).digest
    after = read_layout(compile_c(HEAD + PAIR.replace(old, new) + TAIL)).digest
    assert before != after


def test_digest_does_not_depend_on_map_sizes(compile_c: Compile) -> None:
    """Two objects that differ in a map's size alone have the same digest: sizes are set when loading."""
    text = """
    struct {{ __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, {size}); __type(key, __u32); __type(value, __u8); }}
        rows SEC(".maps");
    """
    digests = {read_layout(compile_c(HEAD + text.format(size=size) + TAIL)).digest for size in (1, 2)}
    assert len(digests) == 1


def test_event_fills_two_cache_lines() -> None:
    """The generated event dtype has the size that ADR 0013 gives it, and big-endian ports."""
    assert abi.EVENT.itemsize == 128
    assert np.dtype(">u2") == abi.EVENT["source_port"]


def test_every_struct_of_the_header_is_generated() -> None:
    """No struct of bpf/abi.h is left out of the generated module."""
    lines = (ROOT / "bpf" / "abi.h").read_text().splitlines()
    declared = {line.split()[1].upper() for line in lines if line.startswith("struct ") and line.endswith("{")}
    assert declared <= set(abi.__all__)
