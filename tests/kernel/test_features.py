"""What is missing is told in one line; each probe runs in a process of its own where it changes the process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

import pytest

from ringfence.datapath import features, libbpf
from ringfence.datapath.bpffs import BPFFS, ensure_bpffs
from ringfence.errors import Unavailable

CLONE_NEWNS = 0x20000
MS_PRIVATE_RECURSIVE = 1 << 18 | 1 << 14
NOBODY = 65534


def in_child(work: Callable[[], str]) -> str:
    """What some work returns in a child process that ends with it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, work().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def refusal(work: Callable[[], object]) -> str:
    try:
        work()
    except Unavailable as error:
        return str(error)
    return "nothing is missing"


def test_this_machine_has_what_is_needed() -> None:
    """On a machine that can run the tests no need is reported missing."""
    assert [] == list(features.missing())


def test_no_root_is_one_line() -> None:
    """Without capabilities the error is one line that says to run as root."""

    def as_nobody() -> str:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return refusal(features.require)

    assert in_child(as_nobody) == "root is missing: run as root (CAP_SYS_ADMIN and CAP_NET_ADMIN)"


def test_missing_libbpf_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libbpf the error names the Debian package."""
    monkeypatch.setattr("ringfence.datapath.libbpf._LIBRARY", "libbpf-not-there.so.1")

    def uncached() -> str:
        libbpf.library.cache_clear()
        return refusal(features.require)

    assert in_child(uncached) == "libbpf is missing: apt-get install libbpf1"


def test_bpffs_of_another_mount_namespace_is_refused() -> None:
    """In a mount namespace of one's own another bpffs is refused: what is pinned there would die with it."""
    libc = ctypes.CDLL(None, use_errno=True)

    def elsewhere() -> str:
        libc.unshare(CLONE_NEWNS)
        libc.mount(b"none", b"/", None, MS_PRIVATE_RECURSIVE, None)
        libc.mount(b"bpf", os.fsencode(BPFFS), b"bpf", 0, None)
        return refusal(ensure_bpffs)

    assert in_child(elsewhere).startswith("/sys/fs/bpf is not that of the host")
    assert BPFFS == ensure_bpffs()


def test_tick_rate_is_one_the_kernel_can_have() -> None:
    """The measured rate of jiffies is one of the kernel's choices, and the same when measured again."""
    first = features.jiffies_per_second()
    features.jiffies_per_second.cache_clear()
    assert first == features.jiffies_per_second()
    assert first in {100, 250, 300, 1000}
