"""Network namespaces: found by name, path or process, told apart, and worked in.

A namespace belongs to a thread, so what is done in another one is done by a short-lived thread of its own: nobody else
is ever left in the wrong one.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Final, TypeVar

from ringfence.errors import NotFound, Unavailable

CLONE_NEWNET: Final = 0x40000000
NAMED: Final = Path("/run/netns")
_SO_NETNS_COOKIE: Final = 71

Result = TypeVar("Result")
_libc: Final = ctypes.CDLL(None, use_errno=True)


def namespace_path(netns: str | int | Path) -> Path:
    """Where a namespace is found: a name under /run/netns, a path, or the number of a process that lives in it."""
    if isinstance(netns, int) or (isinstance(netns, str) and netns.isdecimal()):
        return Path(f"/proc/{netns}/ns/net")
    path = Path(netns)
    return path if path.is_absolute() else NAMED / path


def namespace_cookie(netns: str | int | Path | None = None) -> int:
    """The kernel's number of a namespace (None: here), unique until the machine restarts."""

    def ask_socket() -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")

    return inside(netns, ask_socket)


def inside(netns: str | int | Path | None, work: Callable[[], Result]) -> Result:
    """Do some work in a thread of its own inside a namespace (None: that of the calling thread).

    Raises `NotFound` when there is no such namespace, `Unavailable` when it may not be entered.
    """
    path = None if netns is None else namespace_path(netns)
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            if path is not None:
                _enter(path)
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed on to the caller, whatever it is
            failures.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _enter(path: Path) -> None:
    """Move the calling thread into a namespace, for good."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no network namespace {path}") from error
    try:
        if _libc.setns(fd, CLONE_NEWNET):
            reason = os.strerror(ctypes.get_errno())
            raise Unavailable(f"cannot enter the network namespace {path}: {reason}; run as root")
    finally:
        os.close(fd)
