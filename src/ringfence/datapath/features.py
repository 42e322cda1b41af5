"""What this kernel and process can do: each need is probed, and a missing one says how to get it.

Probing leaves nothing behind and touches no interface.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from ringfence.abi import MapType
from ringfence.datapath import libbpf
from ringfence.datapath.bpf import Command, call
from ringfence.datapath.syscall import prog_test_run
from ringfence.errors import Unavailable

_CAP_NET_ADMIN: Final = 12
_CAP_SYS_ADMIN: Final = 21
_LOOPBACK: Final = 1
_TCX_INGRESS: Final = 46
_PROG_TYPE_SYSCALL: Final = 31
_PROG_SLEEPABLE: Final = 1 << 4
# call bpf_jiffies64 (helper 118); exit
_JIFFIES: Final = struct.pack("<BBhi", 0x85, 0, 0, 118) + struct.pack("<BBhi", 0x95, 0, 0, 0)
_RATES: Final = (100, 250, 300, 1000)  # the kernel's choices of CONFIG_HZ
_TICKS: Final = 12


@dataclass(frozen=True, slots=True)
class Feature:
    """One need: since which kernel it exists ("" for any), how to get it, and the probe, which says if it is there."""

    name: str
    since: str
    remedy: str
    probe: Callable[[], bool]


def _has_capabilities() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    return all(effective >> bit & 1 for bit in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))


def _has_libbpf() -> bool:
    try:
        libbpf.library()
    except Unavailable:
        return False
    return True


def _has_map(kind: MapType, key_size: int, value_size: int, entries: int) -> bool:
    """By making one map and closing it."""
    attributes = bytearray(struct.pack("<IIIII", kind, key_size, value_size, entries, 0).ljust(72, b"\0"))
    try:
        os.close(call(Command.MAP_CREATE, attributes))
    except OSError as error:
        # Anything else than "no such map type" is not about the feature.
        return error.errno != errno.EINVAL
    return True


@cache
def has_tcx() -> bool:
    """Whether the kernel has the tcx hooks (6.6): asked of the loopback interface, which has nothing attached."""
    attributes = bytearray(struct.pack("<II", _LOOPBACK, _TCX_INGRESS).ljust(64, b"\0"))
    try:
        call(Command.PROG_QUERY, attributes)
    except OSError:
        return False
    return True


def _load_jiffies() -> int:
    """A program of two instructions that returns the kernel's tick count; its descriptor."""
    code, terms = ctypes.create_string_buffer(_JIFFIES), ctypes.create_string_buffer(b"GPL")
    head = struct.pack("<IIQQ", _PROG_TYPE_SYSCALL, 2, ctypes.addressof(code), ctypes.addressof(terms))
    tail = struct.pack("<IIQII", 0, 0, 0, 0, _PROG_SLEEPABLE)
    return call(Command.PROG_LOAD, bytearray((head + tail).ljust(128, b"\0")))


def _has_syscall_programs() -> bool:
    try:
        os.close(_load_jiffies())
    except OSError:
        return False
    return True


FEATURES: Final = (
    Feature("root", "", "run as root (CAP_SYS_ADMIN and CAP_NET_ADMIN)", _has_capabilities),
    Feature("libbpf", "", "apt-get install libbpf1", _has_libbpf),
    Feature("BTF", "5.4", "use a kernel with CONFIG_DEBUG_INFO_BTF", Path("/sys/kernel/btf/vmlinux").exists),
    Feature("LRU maps", "4.10", "use a newer kernel", lambda: _has_map(MapType.LRU_HASH, 4, 4, 16)),
    Feature("ring buffer", "5.8", "use a newer kernel", lambda: _has_map(MapType.RINGBUF, 0, 0, 4096)),
    Feature("syscall programs", "5.14", "use a newer kernel", _has_syscall_programs),
)


def missing() -> Iterator[str]:
    """One line for each need that is not met, the first of them the cause of others."""
    for feature in FEATURES:
        if not feature.probe():
            since = f" (Linux {feature.since}; this is {platform.release()})" if feature.since else ""
            yield f"{feature.name} is missing{since}: {feature.remedy}"


def require() -> None:
    """Raise `Unavailable`, one line, for the first need that is not met."""
    for problem in missing():
        raise Unavailable(problem)


@cache
def jiffies_per_second() -> int:
    """The rate of bpf_jiffies64, measured over some ticks (12 to 120 ms): sysconf's figure is another clock's."""
    program = _load_jiffies()
    try:
        start_tick, start = _next_tick(program, 1)
        end_tick, end = _next_tick(program, _TICKS)
    finally:
        os.close(program)
    measured = (end_tick - start_tick) / (end - start)
    return min(_RATES, key=lambda rate: abs(rate - measured))


def _next_tick(program: int, ticks: int) -> tuple[int, float]:
    """Poll until that many ticks have passed; the count and the time (seconds) right after it changed."""
    first = prog_test_run(program).retval
    while (now := prog_test_run(program).retval) - first < ticks:
        time.sleep(0.0002)
    return now, time.monotonic()
