"""An XDP program on an interface by a pinned link: in the driver where that has XDP, else by the kernel's generic hook.

The mode stands in the pin's name. Interfaces are those of the calling thread's network namespace.
"""

from __future__ import annotations

import errno
import os
import struct
from enum import StrEnum
from pathlib import Path
from typing import Final

from ringfence.datapath.bpf import Command, call, program_info
from ringfence.datapath.links import link_info, link_update
from ringfence.datapath.syscall import obj_get, obj_pin
from ringfence.errors import NotFound, Unavailable

_BPF_XDP: Final = 37
_MARK: Final = "-xdp-"


class XdpMode(StrEnum):
    """Where the program runs."""

    NATIVE = "native"
    GENERIC = "generic"


_FLAGS: Final = {XdpMode.NATIVE: 1 << 2, XdpMode.GENERIC: 1 << 1}
# What drivers say that have no XDP, or not for this interface as it is set up.
_NOT_NATIVE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE, errno.ENOSPC})


def is_pin(name: str) -> bool:
    """Whether a link's pin is one of these."""
    return _MARK in name


def pinned(directory: Path) -> dict[int, tuple[XdpMode, Path]]:
    """The interfaces that links of an object are pinned for."""
    found = {}
    for path in (directory / "links").glob(f"*{_MARK}*"):
        ifindex, _, mode = path.name.partition(_MARK)
        found[int(ifindex)] = XdpMode(mode), path
    return found


def ensure(program: int, ifindex: int, directory: Path) -> XdpMode:
    """Have a program on an interface. Raises `NotFound` when it is gone, `Unavailable` when the kernel refuses."""
    mode, pin = pinned(directory).get(ifindex, (None, None))
    if mode and pin:
        if _swapped(program, ifindex, pin):
            return mode
        pin.unlink()
    try:
        return _create(program, ifindex, directory)
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise NotFound(f"interface {ifindex} is gone") from error
        if error.errno in (errno.EBUSY, errno.EEXIST):
            raise Unavailable(f"interface {ifindex} has another XDP program; the prefilter needs the hook") from error
        raise Unavailable(f"cannot attach to XDP of interface {ifindex}: {error}") from error


def remove(ifindex: int, directory: Path) -> None:
    """Take our program off an interface; one that is not there is no error."""
    _, pin = pinned(directory).get(ifindex, (None, None))
    if pin is None:
        return
    link = obj_get(pin)
    try:
        # Removing the last pin detaches too, but some time later.
        call(Command.LINK_DETACH, bytearray(struct.pack("<I", link)))
    finally:
        os.close(link)
    pin.unlink()


def _swapped(program: int, ifindex: int, pin: Path) -> bool:
    """Whether the link pinned there is alive at the interface; it has the program then."""
    link = obj_get(pin)
    try:
        info = link_info(link)
        if info.ifindex != ifindex:
            return False
        if info.program_id != program_info(program).id:
            link_update(link, program)
        return True
    finally:
        os.close(link)


def _create(program: int, ifindex: int, directory: Path) -> XdpMode:
    for mode in (XdpMode.NATIVE, XdpMode.GENERIC):
        try:
            link = call(
                Command.LINK_CREATE,
                bytearray(struct.pack("<IIIIIIQ", program, ifindex, _BPF_XDP, _FLAGS[mode], 0, 0, 0)),
            )
        except OSError as error:
            if mode is XdpMode.NATIVE and error.errno in _NOT_NATIVE:
                continue
            raise
        try:
            obj_pin(link, directory / "links" / f"{ifindex}{_MARK}{mode}")
        finally:
            os.close(link)
        return mode
    raise AssertionError("the generic hook returns or raises")
