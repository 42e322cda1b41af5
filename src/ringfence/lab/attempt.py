"""An attempt: one TCP connect, UDP question or ICMP echo on its way, told by a socket that never blocks.

It is made in the source's namespace, sends at once, and knows from what its socket reports whether an answer came.
"""

from __future__ import annotations

import selectors
import socket
import struct
from dataclasses import dataclass

from ringfence.lab.wiring import Address

QUESTION = b"ringfence probe"
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
KIND = {
    "TCP": (socket.SOCK_STREAM, {4: socket.IPPROTO_TCP, 6: socket.IPPROTO_TCP}),
    "UDP": (socket.SOCK_DGRAM, {4: socket.IPPROTO_UDP, 6: socket.IPPROTO_UDP}),
    # Ping sockets: the kernel hands each only the replies to its own requests.
    "ICMP": (socket.SOCK_DGRAM, {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}),
}


@dataclass(frozen=True, slots=True)
class Target:
    """What is tried: TCP or UDP to a port, or ICMP (echo of the address's family; the port is then 0)."""

    address: Address
    protocol: str
    port: int = 0


class Attempt:
    """One try to reach a target from the namespace that the calling thread is in."""

    def __init__(self, target: Target) -> None:
        """Send the first packet. OSError where the source has no route or address of that family."""
        self.target = target
        kind, protocols = KIND[target.protocol]
        version = target.address.version
        self.socket = socket.socket(FAMILY[version], kind, protocols[version])
        try:
            self.socket.settimeout(0)
            self._connect()
            self.ask_again()
        except BaseException:
            self.socket.close()
            raise

    @property
    def interest(self) -> int:
        """What a selector should wait for: a connection is made when it can be written, an answer is read."""
        return selectors.EVENT_WRITE if self.target.protocol == "TCP" else selectors.EVENT_READ

    def ask_again(self) -> None:
        """Send the question once more; a TCP connect repeats itself."""
        if self.target.protocol == "TCP":
            return
        try:
            self.socket.send(self._question())
        except (BlockingIOError, ConnectionRefusedError):
            # A full queue, or the error of the last question: the next one may still be answered.
            return

    def answered(self) -> bool:
        """Tell, once the selector reports the socket, whether it was by the target's answer."""
        if self.target.protocol == "TCP":
            return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        try:
            answer = self.socket.recv(2048)
        except OSError:
            return False
        if self.target.protocol == "ICMP":
            return bool(answer) and answer[0] == ECHO_REPLY[self.target.address.version]
        return answer == QUESTION

    def close(self) -> None:
        """Let go of the socket; a connection is reset, so that no closing segments outlive the attempt."""
        if self.target.protocol == "TCP":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _connect(self) -> None:
        try:
            self.socket.connect((str(self.target.address), self.target.port))
        except BlockingIOError:
            return

    def _question(self) -> bytes:
        if self.target.protocol == "UDP":
            return QUESTION
        # The kernel fills in the checksum and the identifier of a ping socket.
        return struct.pack("!BBHHH", ECHO_REQUEST[self.target.address.version], 0, 0, 0, 1) + QUESTION
