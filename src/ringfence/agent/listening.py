"""Where a TCP listener of the agent may be: on this host alone, unless somebody says otherwise."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from ringfence.errors import BadInput, Unavailable

_BACKLOG = 128
Listen = tuple[str, int]


def parse_listen(text: str, *, anywhere: bool = False) -> Listen:
    """`127.0.0.1:9479` or `[::1]:9479` as address and port; 0 is any free port.

    Raises `BadInput`, also for an address that other hosts reach, unless `anywhere`.
    """
    host, _, number = text.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        raise BadInput(f"{text!r} is not ADDRESS:PORT, as 127.0.0.1:9479 or [::1]:9479") from error
    if not number.isdecimal() or int(number) > 0xFFFF or (address.version == 6) != host.startswith("["):
        raise BadInput(f"{text!r} is not ADDRESS:PORT, as 127.0.0.1:9479 or [::1]:9479")
    if not address.is_loopback and not anywhere:
        raise BadInput(f"{text}: other hosts may reach {address}, and nobody is asked who they are; expected loopback")
    return str(address), int(number)


def listen(at: Listen) -> socket.socket:
    """A listening socket. Raises `Unavailable` where it cannot be had."""
    family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(at)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise Unavailable(f"cannot listen on {at[0]} port {at[1]}: {error.strerror}") from error
    listening.settimeout(0)
    return listening


def url(listening: socket.socket) -> str:
    """What to type into a browser."""
    address, port = listening.getsockname()[:2]
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
