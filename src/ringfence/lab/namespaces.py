"""Network namespaces: made, found by name under /run/netns, entered by setns and removed.

A namespace belongs to a thread, so work inside one is done by a thread of its own that ends with the work: whatever
fails in between, no other thread of the process is ever left in the wrong namespace.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from ringfence.datapath import netns
from ringfence.errors import RingfenceError, Unavailable

RUN = Path("/run/netns")
CLONE_NEWNET = 0x40000000
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_SHARED = 1 << 20
MNT_DETACH = 2

Result = TypeVar("Result")
_libc = ctypes.CDLL(None, use_errno=True)


def create(name: str) -> Path:
    """Make a namespace and keep it under its name; an existing one of that name is an error."""
    RUN.mkdir(parents=True, exist_ok=True)
    _share_directory()
    path = RUN / name
    try:
        path.touch(mode=0o444, exist_ok=False)
    except FileExistsError as error:
        raise RingfenceError(f"the network namespace {name} exists already") from error
    try:
        netns.inside(None, partial(_unshare_and_keep, path))
    except BaseException:
        path.unlink()
        raise
    return path


def remove(name: str) -> None:
    """Let go of a namespace; it ends with its last process and socket. One that is not there is no error."""
    path = RUN / name
    if path.exists():
        _libc.umount2(os.fsencode(path), MNT_DETACH)
        path.unlink()


def named(prefix: str) -> list[str]:
    """Return the names of all namespaces that start with a prefix."""
    return sorted(path.name for path in RUN.glob(f"{prefix}*")) if RUN.is_dir() else []


def inside(name: str, work: Callable[[], Result]) -> Result:
    """Do some work inside a namespace and return what it returned. Sockets and processes it made stay inside."""
    return netns.inside(RUN / name, work)


def _share_directory() -> None:
    """Make the directory a shared mount of its own, as `ip netns add` does where it is none yet: done by that later, it
    would cover the names that are here, and they could not be removed.
    """
    directory = os.fsencode(RUN)
    if _libc.mount(b"", directory, b"none", MS_SHARED | MS_REC, None):
        _check(_libc.mount(directory, directory, b"none", MS_BIND | MS_REC, None), f"mounting {RUN}")
        _check(_libc.mount(b"", directory, b"none", MS_SHARED | MS_REC, None), f"sharing {RUN}")


def _unshare_and_keep(path: Path) -> None:
    _check(_libc.unshare(CLONE_NEWNET), "making a network namespace")
    mounted = _libc.mount(b"/proc/thread-self/ns/net", os.fsencode(path), b"none", MS_BIND, None)
    _check(mounted, f"keeping the network namespace {path.name}")


def _check(result: int, doing: str) -> None:
    if result != 0:
        reason = os.strerror(ctypes.get_errno())
        raise Unavailable(f"{doing} failed: {reason}; this needs root (CAP_SYS_ADMIN)")
