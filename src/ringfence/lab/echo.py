"""Echo servers: sockets in any number of namespaces, all served by one selector loop of one process.

A socket stays in the namespace it was made in, so one loop can answer for every pod of a lab. The kernel itself answers
ICMP echo. `python -m ringfence.lab.echo FILE` reads what to serve, a JSON list of `[namespace, "TCP" | "UDP", port]`,
prints `ready` when all of it is bound, and serves until it is terminated.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ringfence.errors import RingfenceError
from ringfence.lab.namespaces import inside

DATAGRAM = 65535
BACKLOG = 1024
READY = "ready"


class Service(NamedTuple):
    """A port that is answered in a namespace. The protocol is TCP or UDP."""

    namespace: str
    protocol: str
    port: int


class EchoServers:
    """Listening sockets and the loop that sends back whatever they receive."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ, None)

    def bind(self, service: Service) -> bool:
        """Start to listen; False where another socket has that port already."""
        try:
            listener = inside(service.namespace, lambda: _listener(service))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise RingfenceError(f"{service.namespace}: no server on port {service.port}: {error}") from error
        answer = self._accept if service.protocol == "TCP" else _answer_datagram
        self._selector.register(listener, selectors.EVENT_READ, answer)
        return True

    def serve(self) -> None:
        """Answer until `stop` is called, then close everything."""
        while all(self._answer(key) for key, _ in self._selector.select()):
            pass
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def stop(self) -> None:
        """End `serve`, from any thread."""
        self._stop.close()

    def _answer(self, key: selectors.SelectorKey) -> bool:
        if key.data is None:
            return False
        answer: Callable[[socket.socket], None] = key.data
        # A peer that has gone away in the meantime concerns its own connection only.
        with suppress(OSError):
            if isinstance(key.fileobj, socket.socket):
                answer(key.fileobj)
        return True

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.settimeout(0)
        self._selector.register(connection, selectors.EVENT_READ, self._answer_stream)

    def _answer_stream(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(DATAGRAM)
            if data:
                connection.sendall(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._selector.unregister(connection)
        connection.close()


def _answer_datagram(server: socket.socket) -> None:
    data, sender = server.recvfrom(DATAGRAM)
    server.sendto(data, sender)


def _listener(service: Service) -> socket.socket:
    """Bind for both families at once, or for IPv4 where the kernel has no IPv6."""
    kind = socket.SOCK_STREAM if service.protocol == "TCP" else socket.SOCK_DGRAM
    try:
        listener = socket.socket(socket.AF_INET6, kind)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    except OSError:
        listener = socket.socket(socket.AF_INET, kind)
    try:
        listener.settimeout(0)
        if kind == socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", service.port))
        if kind == socket.SOCK_STREAM:
            listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _serve(file: Path) -> None:
    servers = EchoServers()
    for namespace, protocol, port in json.loads(file.read_text()):
        servers.bind(Service(namespace, protocol, port))
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    servers.serve()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
