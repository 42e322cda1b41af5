"""One connection to an agent's socket: a request out, the answer's head in, its body whole or line by line.

HTTP/1.1 as far as the agent's server speaks it. The common client library takes longer to import than a command takes
to run, and a millisecond for a request (docs/adr/0009).
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

_LINE_BYTES: Final = 65536


class BrokenConnectionError(OSError):
    """The other side has closed the connection, or does not speak HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer. `length` is that of the body in bytes, None where it comes in chunks."""

    status: int
    length: int | None


class Connection:
    """Open from construction until `close`. Raises OSError: nobody listens, nobody answers in time (`TimeoutError`)."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_seconds)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._input = cast("BinaryIO", self._socket.makefile("rb"))

    def close(self) -> None:
        """Close it."""
        self._input.close()
        self._socket.close()

    @property
    def usable(self) -> bool:
        """Whether another request can be sent: an idle connection has something to read only once it was closed."""
        return not select.select([self._socket], [], [], 0)[0]

    def wait_forever(self) -> None:
        """Expect no answer in time any more: a stream may be silent."""
        self._socket.settimeout(None)

    def send(self, method: str, target: str, body: bytes) -> Answer:
        """Send a request, by one write; the head of its answer."""
        head = f"{method} {target} HTTP/1.1\r\nhost: ringfence\r\n"
        if body:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self._socket.sendall(head.encode("ascii") + b"\r\n" + body)
        return self._head()

    def _head(self) -> Answer:
        version, _, rest = self._line().partition(b" ")
        if not version.startswith(b"HTTP/1."):
            raise BrokenConnectionError("the answer is not HTTP")
        length: int | None = None
        while line := self._line():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return Answer(int(rest[:3]), length)

    def _line(self) -> bytes:
        line = self._input.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise BrokenConnectionError("the connection was closed")
        return line.rstrip(b"\r\n")

    def body(self, answer: Answer) -> bytes:
        """All of an answer's body."""
        return b"".join(self._chunks()) if answer.length is None else self._exactly(answer.length)

    def lines(self) -> Iterator[bytes]:
        """The lines of a body that comes in chunks, each as soon as it is there."""
        rest = b""
        for chunk in self._chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from filter(None, whole)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(b";")[0], 16):
            yield self._exactly(size)
            self._line()
        self._line()

    def _exactly(self, size: int) -> bytes:
        data = self._input.read(size)
        if len(data) < size:
            raise BrokenConnectionError("the connection was closed")
        return data
