"""The bpf(2) system call: one function, the commands by their numbers, and what the kernel says of an object.

Attributes are packed by `struct` formats that follow union bpf_attr of linux/bpf.h; a failed call raises OSError with
the kernel's errno.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_NUMBER: Final = {"x86_64": 321, "aarch64": 280}
ENOTSUPP: Final = 524  # the kernel's own "not supported", which the errno module does not know


class Command(IntEnum):
    """enum bpf_cmd; those in use."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_TEST_RUN = 10
    MAP_GET_FD_BY_ID = 14
    OBJ_GET_INFO_BY_FD = 15
    PROG_QUERY = 16
    MAP_LOOKUP_BATCH = 24
    MAP_UPDATE_BATCH = 26
    MAP_DELETE_BATCH = 27
    LINK_CREATE = 28
    LINK_UPDATE = 29
    LINK_DETACH = 34


def call(command: Command, attributes: bytearray) -> int:
    """bpf(2). The kernel writes its answers into `attributes`. Raises OSError."""
    return prepared(command, attributes)()


def prepared(command: Command, attributes: bytearray) -> Callable[[], int]:
    """A call of bpf(2) that can be made many times, with what `attributes` then holds."""
    pointer = ctypes.byref((ctypes.c_char * len(attributes)).from_buffer(attributes))
    number, code, size, syscall = _NUMBER[platform.machine()], int(command), len(attributes), _libc.syscall

    def invoke() -> int:
        result: int = syscall(number, code, pointer, size)
        if result < 0:
            raise _failure(command, ctypes.get_errno())
        return result

    return invoke


def _failure(command: Command, code: int) -> OSError:
    # strerror(524) is "Unknown error 524", which helps nobody.
    text = "not supported by this kernel" if code == ENOTSUPP else os.strerror(code)
    return OSError(code, f"bpf {command.name}: {text}")


@cache
def possible_cpus() -> int:
    """How many values an element of a per-CPU map has."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


@dataclass(frozen=True, slots=True)
class MapInfo:
    """struct bpf_map_info: what the kernel knows of a map. Sizes are in bytes."""

    type: int
    id: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    name: str


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """struct bpf_prog_info, as far as it is needed."""

    type: int
    id: int
    tag: str
    name: str


def object_info(fd: int, size: int) -> bytes:
    """The first `size` bytes of the info struct of a map, program or link."""
    buffer = ctypes.create_string_buffer(size)
    call(Command.OBJ_GET_INFO_BY_FD, bytearray(struct.pack("<IIQ", fd, size, ctypes.addressof(buffer))))
    return buffer.raw


def map_info(fd: int) -> MapInfo:
    """What the kernel knows of an open map."""
    kind, number, key_size, value_size, entries, flags, name = struct.unpack("<IIIIII16s", object_info(fd, 40))
    return MapInfo(kind, number, key_size, value_size, entries, flags, _text(name))


def program_info(fd: int) -> ProgramInfo:
    """What the kernel knows of an open program."""
    kind, number, tag, name = struct.unpack("<II8s48x16s", object_info(fd, 80))
    return ProgramInfo(kind, number, tag.hex(), _text(name))


def _text(name: bytes) -> str:
    return name.rstrip(b"\0").decode()
