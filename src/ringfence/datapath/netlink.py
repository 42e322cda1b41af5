"""Asking the kernel's routing and filter tables, in this network namespace or another.

Each piece of work runs in a short-lived thread of its own: a namespace belongs to a thread, so nobody else is ever left
in the wrong one, and pyroute2's plain interface cannot be used in a thread that runs an asyncio loop.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any, Final, TypeVar

from pyroute2 import IPRoute

from ringfence.errors import NotFound, Unavailable

CLONE_NEWNET: Final = 0x40000000
NAMED: Final = Path("/run/netns")

Result = TypeVar("Result")
_libc: Final = ctypes.CDLL(None, use_errno=True)


def namespace_path(netns: str | int | Path) -> Path:
    """Where a namespace is found: a name under /run/netns, a path, or the number of a process that lives in it."""
    if isinstance(netns, int) or (isinstance(netns, str) and netns.isdecimal()):
        return Path(f"/proc/{netns}/ns/net")
    path = Path(netns)
    return path if path.is_absolute() else NAMED / path


def inside(netns: str | int | Path | None, work: Callable[[], Result]) -> Result:
    """Do some work in a thread of its own inside a namespace (None: that of the calling thread).

    Raises `NotFound` when there is no such namespace, `Unavailable` when it may not be entered.
    """
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            if netns is not None:
                enter(namespace_path(netns))
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed on to the caller, whatever it is
            failures.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def enter(path: Path) -> None:
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


def ask(work: Callable[[Any], Result], netns: str | int | Path | None = None) -> Result:
    """Give a pyroute2 IPRoute of a namespace to some work. Raises NetlinkError as pyroute2 does."""

    def with_socket() -> Result:
        with closing(IPRoute()) as route:
            return work(route)

    return inside(netns, with_socket)
