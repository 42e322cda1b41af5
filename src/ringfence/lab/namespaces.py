"""Network namespaces: made, found by name under /run/netns, entered by setns and removed.

A namespace belongs to a thread, so work inside one is done by a thread of its own that ends with the work: whatever
fails in between, no other thread of the process is ever left in the wrong namespace.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TypeVar

from ringfence.errors import RingfenceError, Unavailable

RUN = Path("/run/netns")
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2

Result = TypeVar("Result")
_libc = ctypes.CDLL(None, use_errno=True)


def create(name: str) -> Path:
    """Make a namespace and keep it under its name; an existing one of that name is an error."""
    RUN.mkdir(parents=True, exist_ok=True)
    path = RUN / name
    try:
        path.touch(mode=0o444, exist_ok=False)
    except FileExistsError as error:
        raise RingfenceError(f"the network namespace {name} exists already") from error
    try:
        _in_thread(lambda: _unshare_and_keep(path))
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
    return _in_thread(lambda: _enter_and_do(RUN / name, work))


def _enter_and_do(path: Path, work: Callable[[], Result]) -> Result:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise RingfenceError(f"there is no network namespace {path.name}") from error
    try:
        _check(_libc.setns(descriptor, CLONE_NEWNET), f"entering the network namespace {path.name}")
    finally:
        os.close(descriptor)
    return work()


def _unshare_and_keep(path: Path) -> None:
    _check(_libc.unshare(CLONE_NEWNET), "making a network namespace")
    mounted = _libc.mount(b"/proc/thread-self/ns/net", os.fsencode(path), b"none", MS_BIND, None)
    _check(mounted, f"keeping the network namespace {path.name}")


def _check(result: int, doing: str) -> None:
    if result != 0:
        reason = os.strerror(ctypes.get_errno())
        raise Unavailable(f"{doing} failed: {reason}; this needs root (CAP_SYS_ADMIN)")


def _in_thread(work: Callable[[], Result]) -> Result:
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed on to the caller, whatever it is
            failures.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
