"""BPF objects as Python holds them: maps that speak numpy, pins, and running a program on given data.

A map's keys and values are rows of the dtypes in `ringfence.abi`; failed calls raise OSError.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import MapSpec
from ringfence.datapath import batch
from ringfence.datapath.bpf import Command, call, map_info, possible_cpus, prepared

ANY: Final = 0
NOEXIST: Final = 1
EXIST: Final = 2

_ELEMENT: Final = struct.Struct("<IxxxxQQQ")
# struct __sk_buff of linux/bpf.h, the fields a test run may set; the kernel refuses any other that is not 0.
SK_BUFF: Final[np.dtype[Any]] = np.dtype(
    {
        "names": ["mark", "priority", "ingress_ifindex", "ifindex"],
        "formats": ["<u4"] * 4,
        "offsets": [8, 32, 36, 40],
        "itemsize": 192,
    },
)


def obj_pin(fd: int, path: Path) -> None:
    """Pin a map, program or link at a path of a bpffs. A name there must have no dot."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    call(Command.OBJ_PIN, bytearray(struct.pack("<QII", ctypes.addressof(name), fd, 0)))


def obj_get(path: Path) -> int:
    """Open what is pinned at a path."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return call(Command.OBJ_GET, bytearray(struct.pack("<QII", ctypes.addressof(name), 0, 0)))


class BpfMap:
    """An open map with its layout. It owns its descriptor."""

    def __init__(self, fd: int, spec: MapSpec) -> None:
        self.fd = fd
        self.spec = spec
        self.info = map_info(fd)
        self._values = possible_cpus() if spec.type.per_cpu else 1
        self._check_layout()
        self._mapped: NDArray[Any] | None = None
        #: How many writes failed, for whatever reason.
        self.errors = 0

    def _check_layout(self) -> None:
        expected = tuple(d.itemsize if d is not None else 0 for d in (self.spec.key, self.spec.value))
        if (self.info.type, self.info.key_size, self.info.value_size) != (self.spec.type, *expected):
            raise ValueError(f"map {self.spec.name} in the kernel is {self.info}, not {self.spec}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back. Arrays from `mmap_array` stay valid."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def max_entries(self) -> int:
        """Size as loaded: in elements, or in bytes for a ring buffer."""
        return self.info.max_entries

    @property
    def key_dtype(self) -> np.dtype[Any]:
        """Layout of a key. A map without keys raises ValueError."""
        if self.spec.key is None:
            raise ValueError(f"map {self.spec.name} has no keys")
        return self.spec.key

    @property
    def value_dtype(self) -> np.dtype[Any]:
        """Layout of a value. A map without values raises ValueError."""
        if self.spec.value is None:
            raise ValueError(f"map {self.spec.name} has no values")
        return self.spec.value

    def lookup(self, key: Any) -> Any:
        """The value of a key (a scalar or a numpy row; summed over the CPUs), or None."""
        wanted = self._keys(key)
        raw = np.zeros((1, self._stored_size), np.uint8)
        try:
            self._element(Command.MAP_LOOKUP_ELEM, wanted, batch.address(raw), ANY)
        except FileNotFoundError:
            return None
        return self._decoded(raw)[0]

    def update(self, key: Any, value: Any, flags: int = ANY) -> None:
        """Write one element. Raises FileExistsError with NOEXIST, FileNotFoundError with EXIST."""
        values = self._stored(np.array([value], self.value_dtype))
        with self._counted():
            self._element(Command.MAP_UPDATE_ELEM, self._keys(key), batch.address(values), flags)

    def delete(self, key: Any) -> bool:
        """Delete one element; says whether it was there."""
        try:
            self._element(Command.MAP_DELETE_ELEM, self._keys(key), 0, ANY)
        except FileNotFoundError:
            return False
        return True

    def dump(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """All keys and values, per-CPU values summed. Not a snapshot: elements that move meanwhile may be missed."""
        keys, values = batch.read(self.fd, self.key_dtype.itemsize, self._stored_size)
        return keys.view(self.key_dtype).reshape(-1), self._decoded(values)

    def pieces(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """All keys and values of a hash, some thousands at a time: for who does not keep them."""
        for keys, values in batch.read_chunks(self.fd, self.key_dtype.itemsize, self._stored_size):
            yield keys.view(self.key_dtype).reshape(-1), self._decoded(values)

    def head(self, rows: int) -> NDArray[Any]:
        """The first rows of an array, per-CPU values summed."""
        if not rows:
            return np.zeros(0, self.value_dtype)
        step = min(rows, batch.ROWS)
        chunks = batch.read_chunks(self.fd, self.key_dtype.itemsize, self._stored_size, step)
        values = [found for _, (_, found) in zip(range(0, rows, step), chunks, strict=False)]
        return self._decoded(np.concatenate(values))[:rows]

    def at(self, rows: Sequence[int]) -> NDArray[Any]:
        """Chosen rows of an array, per-CPU values summed; a system call each."""
        if not len(rows):
            return np.zeros(0, self.value_dtype)
        raw, wanted = np.zeros((len(rows), self._stored_size), np.uint8), np.array(rows, np.uint32)
        attributes = bytearray(_ELEMENT.size)
        lookup = prepared(Command.MAP_LOOKUP_ELEM, attributes)
        for key, value in zip(batch.addresses(wanted), batch.addresses(raw), strict=True):
            _ELEMENT.pack_into(attributes, 0, self.fd, key, value, ANY)
            lookup()
        return self._decoded(raw)

    def dump_by_cpu(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """All keys, and the values of a per-CPU map as rows of (element, CPU)."""
        keys, values = batch.read(self.fd, self.key_dtype.itemsize, self._stored_size)
        rows = values.reshape(len(keys), self._values, -1)[:, :, : self.value_dtype.itemsize]
        decoded = np.ascontiguousarray(rows).view(self.value_dtype).reshape(len(keys), self._values)
        return keys.view(self.key_dtype).reshape(-1), decoded

    def update_by_cpu(self, key: Any, values: NDArray[Any]) -> None:
        """Write an element of a per-CPU map, one value a CPU."""
        stored = np.zeros((self._values, self._stored_size // self._values), np.uint8)
        stored[:, : self.value_dtype.itemsize] = np.ascontiguousarray(values).view(np.uint8).reshape(self._values, -1)
        self._element(Command.MAP_UPDATE_ELEM, self._keys(key), batch.address(stored), ANY)

    @property
    def counts(self) -> bool:
        """Whether values are 64-bit counters alone, so that those of all CPUs have a sum."""
        leaves = [item[0] for item in (self.value_dtype.fields or {}).values()]
        return bool(leaves) and all(leaf.base == np.uint64 for leaf in leaves)

    def update_batch(self, keys: NDArray[Any], values: NDArray[Any], flags: int = ANY) -> None:
        """Write many elements; with flags one by one. Raises OSError at the first that is refused."""
        if len(keys) != len(values):
            raise ValueError(f"{len(keys)} keys for {len(values)} values")
        if len(keys):
            stored = self._stored(np.ascontiguousarray(values, self.value_dtype))
            with self._counted():
                batch.write(self.fd, np.ascontiguousarray(keys, self.key_dtype), stored, flags)

    def delete_batch(self, keys: NDArray[Any]) -> int:
        """Delete many elements; returns how many there were."""
        with self._counted():
            return batch.erase(self.fd, np.ascontiguousarray(keys, self.key_dtype))

    def mmap_array(self) -> NDArray[Any]:
        """The rows of a BPF_F_MMAPABLE array as they lie in the kernel: stores are seen by the next packet."""
        if self._mapped is None:
            dtype = _padded(self.value_dtype)
            size = self.max_entries * dtype.itemsize
            memory = mmap.mmap(self.fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, mmap.MAP_SHARED)
            self._mapped = np.frombuffer(memory, dtype, self.max_entries)
        return self._mapped

    def pin(self, path: Path) -> None:
        """Keep the map in a bpffs beyond this process."""
        obj_pin(self.fd, path)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.errors += 1
            raise

    def _keys(self, key: Any) -> NDArray[Any]:
        return np.array([key], self.key_dtype)

    def _element(self, command: Command, key: NDArray[Any], value: int, flags: int) -> None:
        call(command, bytearray(_ELEMENT.pack(self.fd, batch.address(key), value, flags)))

    @property
    def _stored_size(self) -> int:
        """Bytes of an element's value in a system call: per-CPU values are rounded up to 8 bytes each."""
        size = self.value_dtype.itemsize
        return size if self._values == 1 and not self.spec.type.per_cpu else -(-size // 8) * 8 * self._values

    def _decoded(self, raw: NDArray[np.uint8]) -> NDArray[Any]:
        if not self.spec.type.per_cpu:
            return raw.view(self.value_dtype).reshape(-1)
        total: NDArray[np.uint64] = self._counters(raw).sum(axis=1, dtype=np.uint64)
        return total.view(self.value_dtype).reshape(-1)

    def _stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Per-CPU values: all of it on the first CPU, so that the sum is what was written."""
        if not self.spec.type.per_cpu:
            return values
        raw = np.zeros((len(values), self._stored_size), np.uint8)
        self._counters(raw)[:, 0] = values.view(np.uint64).reshape(len(values), -1)
        return raw.view(f"V{self._stored_size}").reshape(-1)

    def _counters(self, raw: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Rows as (element, CPU, counter): every per-CPU value is made of 64-bit counters."""
        return raw.view(np.uint64).reshape(len(raw), self._values, -1)


def _padded(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A value as it lies in an array map: rows start at multiples of 8 bytes."""
    size = -(-dtype.itemsize // 8) * 8
    if size == dtype.itemsize:
        return dtype
    if dtype.fields is None:
        raise ValueError(f"a mappable array of {dtype} has rows with gaps")
    names, items = list(dtype.fields), list(dtype.fields.values())
    formats, offsets = [item[0] for item in items], [item[1] for item in items]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a program made of a packet: its return value, the packet and context after it, mean ns per run."""

    __test__ = False  # pytest would collect the name

    retval: int
    data: bytes
    context: bytes
    duration_ns: int


def prog_test_run(fd: int, data: bytes = b"", context: bytes = b"", repeat: int = 1) -> TestRun:
    """Run a program by BPF_PROG_TEST_RUN. `context` is a `SK_BUFF` row's bytes for a TC program; a program of type
    syscall takes no data, runs once and gives no context back. Interfaces are those of the calling thread's namespace.
    """
    packet, after = ctypes.create_string_buffer(data, len(data) or 1), ctypes.create_string_buffer(len(data) + 512)
    given, left = (
        ctypes.create_string_buffer(context, len(context) or 1),
        ctypes.create_string_buffer(len(context) or 1),
    )
    attributes = bytearray(
        struct.pack(
            "<IIIIQQIIIIQQIII4x",
            *(fd, 0, len(data), len(data) + 512 if data else 0),
            *(ctypes.addressof(packet) if data else 0, ctypes.addressof(after) if data else 0),
            *(repeat if data else 0, 0, len(context), len(context) if data else 0),
            *(ctypes.addressof(given) if context else 0, ctypes.addressof(left) if context and data else 0),
            *(0, 0, 0),
        ),
    )
    call(Command.PROG_TEST_RUN, attributes)
    _fd, retval, _in, size, _data, _after, _repeat, duration = struct.unpack_from("<IIIIQQII", attributes)
    return TestRun(retval, after.raw[:size] if data else b"", left.raw[: len(context)], duration)
