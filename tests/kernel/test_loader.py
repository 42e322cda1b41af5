"""Loading the real object: layout, knobs, sizes, taking over, and errors that say what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ringfence.abi import IPCACHE_KEY, KNOBS, MAPS, POLICY_KEY
from ringfence.abi.layout import read_layout
from ringfence.datapath import loader
from ringfence.datapath.bpf import program_info
from ringfence.datapath.libbpf import BpfObject
from ringfence.datapath.loader import LoadedObject, is_pinned, load, open_pinned, pin_directory, unpin
from ringfence.datapath.syscall import NOEXIST
from ringfence.errors import Unavailable
from tests.conftest import Compile
from tests.kernel.world import owned_name
from tools.compile_bpf import SOURCE

SMALL = {"policy": 50000, "ct4": 1024, "ct6": 1024, "events": 1 << 16, "rules": 1024}
UNBOUNDED = """
#include "bpf.h"
SEC("tc") int program(struct __sk_buff *skb) { return *(__u8 *)(long)skb->data; }
const char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedObject]:
    with load({}, SMALL) as item:
        yield item


@pytest.fixture
def keys() -> NDArray[np.void]:
    rows = np.zeros(20000, POLICY_KEY)
    rows["subject"] = np.arange(len(rows))
    rows["port"] = 443
    return rows


def test_sizes_are_those_asked_for(loaded: LoadedObject) -> None:
    """A map has the size it was given, and its default when none was given."""
    assert loaded.maps["policy"].max_entries == 50000
    assert loaded.maps["endpoints"].max_entries == MAPS["endpoints"].max_entries
    assert set(MAPS) == set(loaded.maps)


def test_knobs_are_written_before_loading() -> None:
    """A knob's place in .rodata holds the value given; the others keep the C default."""
    content = loader.object_bytes()
    layout = read_layout(content)
    with BpfObject(content, "ringfence") as opened:
        data = opened.read_only_data()
        loader._set_knobs(data, layout, {"ct_timeout_any": 77})
        values = {name: int.from_bytes(data[at : at + 4], "little") for name, at in layout.knob_offsets.items()}
    assert {name: knob.default for name, knob in KNOBS.items()} | {"ct_timeout_any": 77} == values


@pytest.mark.parametrize(("knobs", "sizes"), [({"no_such": 1}, {}), ({}, {"no_such": 1})])
def test_unknown_setting_is_refused(knobs: dict[str, int], sizes: dict[str, int]) -> None:
    """A knob or map that the object does not have is an error, never ignored."""
    with pytest.raises(ValueError, match="no_such"):
        load(knobs, sizes)


def test_object_of_another_layout_is_refused(compile_c: Compile) -> None:
    """An object whose digest is not that of the generated layouts is never loaded."""
    other = compile_c(
        f'#include "{SOURCE.name}"\nstruct {{ __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);'
        ' __type(key, __u32); __type(value, __u32); } one_more SEC(".maps");\n'
    )
    with pytest.raises(Unavailable, match="run make setup"):
        load({}, {}, other)


def test_refusal_says_what_the_verifier_said(compile_c: Compile) -> None:
    """When the kernel refuses a program, the error ends with the verifier's own lines."""
    with (
        BpfObject(compile_c(UNBOUNDED), "unbounded") as opened,
        pytest.raises(Unavailable, match="invalid access to packet"),
    ):
        opened.load()


def test_batches_write_read_and_delete(loaded: LoadedObject, keys: NDArray[np.void]) -> None:
    """What is written in one batch is read back whole, and deleted, missing keys passed over."""
    policy = loaded.maps["policy"]
    policy.update_batch(keys, np.arange(len(keys), dtype=np.uint32))
    found, values = policy.dump()
    order = np.argsort(found["subject"])
    assert np.array_equal(keys, found[order])
    assert np.array_equal(np.arange(len(keys)), values[order])
    assert policy.delete(keys[100])
    assert not policy.delete(keys[100])
    assert len(keys) - 1 == policy.delete_batch(keys)
    assert len(policy.dump()[0]) == 0


def test_noexist_refuses_a_key_that_is_there(loaded: LoadedObject, keys: NDArray[np.void]) -> None:
    """With NOEXIST a present key is an error and keeps its value."""
    policy = loaded.maps["policy"]
    policy.update(keys[1], 5)
    with pytest.raises(FileExistsError):
        policy.update_batch(keys[:2], np.array([1, 2], np.uint32), NOEXIST)
    assert (1, 5) == (policy.lookup(keys[0]), policy.lookup(keys[1]))
    policy.delete_batch(keys[:2])


def test_trie_is_read_whole(loaded: LoadedObject) -> None:
    """All prefixes of a longest-prefix trie are dumped."""
    trie = loaded.maps["ipcache"]
    rows = np.zeros(300, IPCACHE_KEY)
    rows["prefix_length"], rows["family"] = 56, 4
    rows["address"][:, 0], rows["address"][:, 1] = np.arange(300) // 256, np.arange(300) % 256
    trie.update_batch(rows, np.arange(300, dtype=np.uint32))
    assert set(range(300)) == set(trie.dump()[1].tolist())
    trie.delete_batch(rows)


def test_per_cpu_values_are_summed(loaded: LoadedObject) -> None:
    """A counter of a per-CPU map is read as one value, the sum over the CPUs."""
    loaded.maps["record_hits"].update(9, (7, 700))
    assert (7, 700) == loaded.maps["record_hits"].lookup(9).item()
    assert (7, 700) == loaded.maps["record_hits"].dump()[1][9].item()


def test_chosen_and_first_rows_are_read_alone(loaded: LoadedObject) -> None:
    """Rows of a per-CPU array can be read by number, and the first of them in one go, summed over the CPUs."""
    hits = loaded.maps["record_hits"]
    rows = np.array([1, 3, 20_000], np.uint32)
    hits.update_batch(rows, np.array([(1, 10), (3, 30), (5, 50)], hits.value_dtype))
    assert [(5, 50), (1, 10)] == hits.at([20_000, 1]).tolist()
    assert [(0, 0), (1, 10), (0, 0), (3, 30)] == hits.head(4).tolist()
    assert (5, 50) == hits.head(20_001)[20_000].item()
    assert (0, 0) == (len(hits.head(0)), len(hits.at([])))


def test_a_hash_is_read_in_pieces(loaded: LoadedObject, keys: NDArray[np.void]) -> None:
    """Whoever only counts elements need not hold all of them: each is in one piece."""
    policy = loaded.maps["policy"]
    assert [] == [piece for piece, _ in policy.pieces() if len(piece)]
    policy.update_batch(keys, np.arange(len(keys), dtype=np.uint32))
    pieces = list(policy.pieces())
    assert len(pieces) > 1
    assert set(range(len(keys))) == {value for _, values in pieces for value in values.tolist()}


def test_mapped_rows_are_the_kernels(loaded: LoadedObject) -> None:
    """A store to a mapped row is what the kernel reads, and the other way round."""
    endpoints = loaded.maps["endpoints"]
    endpoints.mmap_array()["ifindex"][3] = 42
    assert endpoints.lookup(3)["ifindex"] == 42
    endpoints.update(3, np.zeros(1, endpoints.value_dtype)[0])
    assert endpoints.mmap_array()["ifindex"][3] == 0


def test_pinned_object_is_taken_over(pins: Path) -> None:
    """What is pinned is opened again: the same maps with their contents, and the same programs."""
    with load({}, SMALL) as first:
        first.pin(pins)
        first.maps[".data.revision"].mmap_array()["active_revision"][0] = 12
        ids = {name: program_info(fd).id for name, fd in first.programs.items()}
    with open_pinned(pins) as second:
        assert second.maps["policy"].max_entries == 50000
        assert second.maps[".data.revision"].mmap_array()["active_revision"][0] == 12
        assert ids == {name: program_info(fd).id for name, fd in second.programs.items()}


def test_half_pinned_object_is_not_taken_over() -> None:
    """A run that was killed while it pinned leaves nothing that counts as pinned, and unpinning clears it all."""
    directory = pin_directory(owned_name("half"))
    try:
        with load({}, SMALL) as loaded:
            loaded.programs["from_endpoint."] = loaded.programs["from_endpoint"]  # a name that no bpffs takes
            with pytest.raises(OSError, match="OBJ_PIN"):
                loaded.pin(directory)
            del loaded.programs["from_endpoint."]
        assert any((directory / "maps").iterdir())
        assert not is_pinned(directory)
    finally:
        unpin(directory)
    assert not directory.parent.exists()


@pytest.mark.parametrize("name", ["", "a.b", "a/b"])
def test_instance_name_that_cannot_be_pinned_is_refused(name: str) -> None:
    """A bpffs has no names with dots, so an instance cannot have one either."""
    with pytest.raises(ValueError, match="no dot and no slash"):
        pin_directory(name)
