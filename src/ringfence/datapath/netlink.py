"""Netlink: questions to the kernel's routing and filter tables, in the network namespace of the calling thread.

A message is a fixed head and attributes by number; this module knows how they are framed, its users what they mean. A
question takes some 20 microseconds, and the import nothing, where a general library takes milliseconds and 0.2 s.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Self

ROUTE: Final = 0
NETFILTER: Final = 12

REQUEST: Final = 1
ACKNOWLEDGE: Final = 4
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
CREATE: Final = 0x400
DUMP: Final = 0x300
_INTERRUPTED: Final = 0x10
_ERROR: Final = 2
_DONE: Final = 3
_HEADER: Final = struct.Struct("<IHHII")
_ATTRIBUTE: Final = struct.Struct("<HH")
_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF
_BUFFER: Final = 1 << 18
_TRIES: Final = 10

Attributes = Mapping[int, bytes]


class Message(NamedTuple):
    """An answer: its type, its fixed head, and its attributes by number (of repeated ones the last)."""

    kind: int
    head: bytes
    attributes: Attributes

    def text(self, number: int) -> str:
        """An attribute that is a text; "" where there is none."""
        return self.attributes.get(number, b"").rstrip(b"\0").decode(errors="replace")

    def number(self, number: int) -> int | None:
        """An attribute that is a 32-bit number."""
        value = self.attributes.get(number)
        return None if value is None else int.from_bytes(value[:4], "little")


class Netlink:
    """A socket to one of the kernel's families. Raises OSError with the kernel's errno."""

    def __init__(self, family: int = ROUTE) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, family)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def tell(self, kind: int, flags: int, body: bytes) -> None:
        """Ask for a change, and return when it is made."""
        for _ in self._exchange(kind, flags | ACKNOWLEDGE, body, 0):
            pass

    def ask(self, kind: int, body: bytes, head_size: int) -> Message | None:
        """Ask for one thing."""
        return next(iter(list(self._exchange(kind, ACKNOWLEDGE, body, head_size))), None)

    def dump(self, kind: int, body: bytes, head_size: int) -> list[Message]:
        """Ask for all of something, again while it changes under the dump."""
        for _ in range(_TRIES):
            try:
                return list(self._exchange(kind, DUMP, body, head_size))
            except InterruptedError:
                continue
        raise OSError(errno.EINTR, "the tables change faster than they can be read")

    def _exchange(self, kind: int, flags: int, body: bytes, head_size: int) -> Iterator[Message]:
        """The answers up to the end of the dump or the acknowledgement. An interrupted dump raises at its end."""
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, flags | REQUEST, self._sequence, 0)
        self._socket.send(header + body)
        interrupted = False
        while True:
            for answer, answer_flags, sequence, data in framed(self._socket.recv(_BUFFER)):
                if sequence != self._sequence:
                    continue
                interrupted |= bool(answer_flags & _INTERRUPTED)
                if answer in (_ERROR, _DONE):
                    code = -int.from_bytes(data[:4], "little", signed=True) if len(data) >= 4 else 0
                    if code:
                        raise OSError(code, os.strerror(code))
                    if interrupted:
                        raise InterruptedError
                    return
                yield Message(answer, data[:head_size], attributes(data[head_size:]))


def framed(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages of a datagram: type, flags, sequence number, and what is behind the header."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += max(_HEADER.size, length + 3 & ~3)


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by number; a nested one's value is taken apart by this function again."""
    found = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    return found


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute: bytes as they are, a number in 32 bits, a text with its end."""
    if isinstance(value, int):
        value = value.to_bytes(4, "little")
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | _NESTED, b"".join(parts))
