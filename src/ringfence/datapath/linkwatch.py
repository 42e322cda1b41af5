"""News of interfaces in one network namespace, as the kernel tells it: who has vanished.

A descriptor for epoll or asyncio, and messages parsed by their fixed head alone (struct ifinfomsg).
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

_HEADER: Final = struct.Struct("<IHHII")
_LINK: Final = struct.Struct("<BxHiII")
_RTMGRP_LINK: Final = 1
_RTMGRP_ADDRESSES: Final = 0x10 | 0x100  # of both families: they wake the reader, who looks for himself
_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_BUFFER: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class LinkChange:
    """An interface has appeared or changed, or is gone (removed, or moved to another namespace)."""

    ifindex: int
    gone: bool


class MissedChangesError(Exception):
    """The kernel had more news than the socket could hold: look at all interfaces again."""


class LinkWatch:
    """Listens in the network namespace of the thread that makes it, from then on."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _RTMGRP_LINK | _RTMGRP_ADDRESSES))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Readable when there is news."""
        return self._socket.fileno()

    def read(self) -> list[LinkChange]:
        """All news there is, without waiting. Raises `MissedChangesError` when some was lost."""
        changes: list[LinkChange] = []
        while True:
            try:
                data = self._socket.recv(_BUFFER)
            except BlockingIOError:
                return changes
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise MissedChangesError from error
                raise
            changes.extend(_changes(data))

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _changes(data: bytes) -> Iterator[LinkChange]:
    offset = 0
    while offset + _HEADER.size + _LINK.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, offset)
        if kind in (_RTM_NEWLINK, _RTM_DELLINK):
            ifindex = _LINK.unpack_from(data, offset + _HEADER.size)[2]
            yield LinkChange(ifindex, gone=kind == _RTM_DELLINK)
        offset += (length + 3) & ~3
