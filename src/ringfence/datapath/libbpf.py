"""libbpf.so.1 by ctypes: an object opened from memory, given its sizes and knobs, and loaded into the kernel.

Only the calls in use are declared. libbpf relocates, creates maps and has programs verified; what it says meanwhile is
kept, and the last lines become the error.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, Self

from ringfence.errors import Unavailable

_LIBRARY: Final = "libbpf.so.1"
_LOG_LINES: Final = 20
_LOG_BYTES: Final = 1 << 16
_DEBUG_LEVEL: Final = 2
_POINTER: Final = ctypes.c_void_p
# name: result, arguments; as in libbpf.h
_SIGNATURES: Final[Mapping[str, tuple[Any, tuple[Any, ...]]]] = {
    "bpf_object__open_mem": (_POINTER, (_POINTER, ctypes.c_size_t, _POINTER)),
    "bpf_object__load": (ctypes.c_int, (_POINTER,)),
    "bpf_object__close": (None, (_POINTER,)),
    "bpf_object__next_map": (_POINTER, (_POINTER, _POINTER)),
    "bpf_object__next_program": (_POINTER, (_POINTER, _POINTER)),
    "bpf_map__name": (ctypes.c_char_p, (_POINTER,)),
    "bpf_map__fd": (ctypes.c_int, (_POINTER,)),
    "bpf_map__set_max_entries": (ctypes.c_int, (_POINTER, ctypes.c_uint32)),
    "bpf_map__initial_value": (_POINTER, (_POINTER, ctypes.POINTER(ctypes.c_size_t))),
    "bpf_program__name": (ctypes.c_char_p, (_POINTER,)),
    "bpf_program__fd": (ctypes.c_int, (_POINTER,)),
    "libbpf_set_print": (_POINTER, (_POINTER,)),
}
_PrintFunction: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, _POINTER, _POINTER)


class OpenOptions(ctypes.Structure):
    """The leading fields of struct bpf_object_open_opts; `sz` tells libbpf that the rest is absent."""

    _fields_ = (("sz", ctypes.c_size_t), ("object_name", ctypes.c_char_p))


class _Log:
    """The last lines that libbpf printed."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._format = ctypes.CDLL(None).vsnprintf
        self._format.argtypes = (_POINTER, ctypes.c_size_t, _POINTER, _POINTER)
        # libbpf keeps the pointer for good, so the callback lives as long as the module.
        self.callback = _PrintFunction(self._print)

    def _print(self, level: int, text: int, arguments: int) -> int:
        if level < _DEBUG_LEVEL:
            buffer = ctypes.create_string_buffer(_LOG_BYTES)
            self._format(buffer, len(buffer), text, arguments)
            self.lines.extend(line for line in buffer.value.decode(errors="replace").splitlines() if line.strip())
        return 0


_log: Final = _Log()


@cache
def library() -> Any:
    """The loaded library. Raises `Unavailable` when Debian's libbpf1 is not installed."""
    try:
        loaded = ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as error:
        raise Unavailable(f"{_LIBRARY} is not installed: apt-get install libbpf1") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    loaded.libbpf_set_print(ctypes.cast(_log.callback, _POINTER))
    return loaded


def _failure(doing: str, code: int) -> Unavailable:
    said = "\n".join(_log.lines)
    return Unavailable(f"{doing}: {os.strerror(code)}" + (f"; libbpf says:\n{said}" if said else ""))


class BpfObject:
    """An object being loaded. Descriptors belong to it: duplicate what is to outlive `close`."""

    def __init__(self, data: bytes, name: str) -> None:
        self._library = library()
        _log.lines.clear()
        options = OpenOptions(ctypes.sizeof(OpenOptions), name.encode())
        # libbpf reads from the buffer until the object is closed.
        self._data = ctypes.create_string_buffer(data, len(data))
        self._handle = self._library.bpf_object__open_mem(self._data, len(data), ctypes.byref(options))
        if not self._handle:
            raise _failure("cannot open the BPF object", ctypes.get_errno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._library.bpf_object__close(self._handle)

    def _items(self, kind: str) -> Iterator[tuple[str, int]]:
        following, name_of = (getattr(self._library, f"bpf_{n}") for n in (f"object__next_{kind}", f"{kind}__name"))
        item = following(self._handle, None)
        while item:
            yield name_of(item).decode(), item
            item = following(self._handle, item)

    def set_sizes(self, sizes: Mapping[str, int]) -> None:
        """Set max_entries by map name, before `load`. An unknown name is a ValueError."""
        maps = dict(self._items("map"))
        for name, entries in sizes.items():
            if name not in maps:
                raise ValueError(f"no map {name} in the object")
            if code := self._library.bpf_map__set_max_entries(maps[name], entries):
                raise _failure(f"size {entries} of map {name}", -code)

    def read_only_data(self) -> memoryview:
        """The bytes that `.rodata` will have, writable until `load`."""
        maps = dict(self._items("map"))
        rodata = next(item for name, item in maps.items() if name.endswith(".rodata"))
        size = ctypes.c_size_t()
        start = self._library.bpf_map__initial_value(rodata, ctypes.byref(size))
        return memoryview((ctypes.c_char * size.value).from_address(start)).cast("B")

    def load(self) -> None:
        """Create the maps and have the programs verified. Raises `Unavailable` with what libbpf said."""
        if code := self._library.bpf_object__load(self._handle):
            raise _failure("the kernel refuses the BPF object", -code)

    def maps(self) -> dict[str, int]:
        """Map names with their descriptors, after `load`."""
        return {name: self._library.bpf_map__fd(item) for name, item in self._items("map")}

    def programs(self) -> dict[str, int]:
        """Program names with their descriptors, after `load`."""
        return {name: self._library.bpf_program__fd(item) for name, item in self._items("program")}
