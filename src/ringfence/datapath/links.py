"""BPF links at the tcx hooks of an interface: created, swapped, pinned, and listed as the kernel has them.

A link names its interface by index in the network namespace of the calling thread. A pin outlives its interface, and
the same index can exist in another namespace: a pinned link counts only where PROG_QUERY of this interface lists it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from ringfence.datapath.bpf import Command, call, object_info, program_info
from ringfence.datapath.syscall import obj_get, obj_pin

_MOST_PROGRAMS: Final = 64  # BPF_MPROG_MAX
_QUERY: Final = struct.Struct("<IIIIQIIQQQQ")


class Hook(IntEnum):
    """enum bpf_attach_type of the two tcx hooks, as seen from the interface they are on."""

    INGRESS = 46
    EGRESS = 47


@dataclass(frozen=True, slots=True)
class Queried:
    """One program that the kernel lists at a hook. `link_id` is 0 for one attached without a link."""

    program_id: int
    link_id: int


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """struct bpf_link_info of a tcx link. `ifindex` is 0 once the interface is gone."""

    link_id: int
    program_id: int
    ifindex: int
    attach_type: int


def prog_query(ifindex: int, hook: Hook) -> list[Queried]:
    """The programs at a tcx hook, in the order in which they run. Raises OSError (EINVAL without tcx, ENODEV)."""
    programs, links = ((ctypes.c_uint32 * _MOST_PROGRAMS)() for _ in range(2))
    at = ctypes.addressof
    attributes = bytearray(_QUERY.pack(ifindex, hook, 0, 0, at(programs), _MOST_PROGRAMS, 0, 0, at(links), 0, 0))
    call(Command.PROG_QUERY, attributes)
    count = _QUERY.unpack_from(attributes)[5]
    return [Queried(programs[i], links[i]) for i in range(count)]


def link_create(program: int, ifindex: int, hook: Hook) -> int:
    """Attach a program behind those that are there; returns the link's descriptor, which holds it attached."""
    return call(Command.LINK_CREATE, bytearray(struct.pack("<IIIIIIQ", program, ifindex, hook, 0, 0, 0, 0)))


def link_update(link: int, program: int) -> None:
    """Swap a link's program: no packet meets none or both."""
    call(Command.LINK_UPDATE, bytearray(struct.pack("<IIII", link, program, 0, 0)))


def link_info(link: int) -> LinkInfo:
    """What the kernel knows of an open link."""
    _kind, number, program, ifindex, hook = struct.unpack("<III4xII", object_info(link, 24))
    return LinkInfo(number, program, ifindex, hook)


def ensure(program: int, ifindex: int, hook: Hook, pin: Path) -> None:
    """Have a program at a hook by a link pinned at `pin`: a live one is swapped in place, a dead one replaced."""
    link = open_live(pin, ifindex, hook)
    if link is None:
        pin.unlink(missing_ok=True)
        link = link_create(program, ifindex, hook)
        try:
            obj_pin(link, pin)
        finally:
            os.close(link)
        return
    try:
        if link_info(link).program_id != program_info(program).id:
            link_update(link, program)
    finally:
        os.close(link)


def remove(ifindex: int, hook: Hook, pin: Path) -> None:
    """Take a pinned link's program off its hook and remove the pin; one that is not there is no error."""
    link = open_live(pin, ifindex, hook)
    if link is not None:
        try:
            # Removing the last pin detaches too, but some time later.
            call(Command.LINK_DETACH, bytearray(struct.pack("<I", link)))
        finally:
            os.close(link)
    pin.unlink(missing_ok=True)


def open_live(pin: Path, ifindex: int, hook: Hook) -> int | None:
    """The descriptor of the link pinned there, if it is at this hook of this interface."""
    try:
        link = obj_get(pin)
    except FileNotFoundError:
        return None
    if link_info(link).link_id in {found.link_id for found in listed(ifindex, hook)}:
        return link
    os.close(link)
    return None


def listed(ifindex: int, hook: Hook) -> list[Queried]:
    """As `prog_query`, but a kernel without tcx and an interface that is gone have no programs."""
    try:
        return prog_query(ifindex, hook)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENODEV):
            return []
        raise
