"""News of one network namespace, as the kernel tells it: which interfaces have vanished, and that routes, addresses or
filters are others than before.

A descriptor for epoll or asyncio. Of interfaces the fixed head is read (struct ifinfomsg); the rest only wakes the
reader, who looks for himself.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from ringfence.datapath.netlink import NETFILTER

_HEADER: Final = struct.Struct("<IHHII")
_LINK: Final = struct.Struct("<BxHiII")
_RTMGRP_LINK: Final = 1
# Addresses, routes and routing rules of both families: bit n - 1 is group n of linux/rtnetlink.h.
_OTHERS: Final = sum(1 << group - 1 for group in (5, 9, 7, 11, 8, 19))
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_NFTABLES_GROUP: Final = 7
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
        self._socket.bind((0, _RTMGRP_LINK | _OTHERS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Readable when there is news."""
        return self._socket.fileno()

    def read(self) -> list[LinkChange]:
        """All news there is, without waiting. Raises `MissedChangesError` when some was lost."""
        return [change for data in _received(self._socket) for change in _changes(data)]

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


class FilterWatch:
    """Listens to nftables, which iptables-nft is too, in the network namespace of the thread that makes it.

    Raises OSError on a kernel without it. The tables of iptables-legacy change without news.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES_GROUP)

    def fileno(self) -> int:
        """Readable when there is news."""
        return self._socket.fileno()

    def read(self) -> None:
        """Take the news: something has changed, whatever it is."""
        with suppress(MissedChangesError):
            for _ in _received(self._socket):
                pass

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _received(listening: socket.socket) -> Iterator[bytes]:
    """All datagrams there are, without waiting. Raises `MissedChangesError` when some were lost."""
    while True:
        try:
            yield listening.recv(_BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise MissedChangesError from error
            raise


def _changes(data: bytes) -> Iterator[LinkChange]:
    offset = 0
    while offset + _HEADER.size + _LINK.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, offset)
        if kind in (_RTM_NEWLINK, _RTM_DELLINK):
            ifindex = _LINK.unpack_from(data, offset + _HEADER.size)[2]
            yield LinkChange(ifindex, gone=kind == _RTM_DELLINK)
        offset += (length + 3) & ~3
