"""Connections that came in to this network namespace, by the kernel's table of TCP sockets (proc(5), net/tcp)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from ringfence.identity.prefixes import Address
from ringfence.service.text import place_text

_TABLES: Final = ("tcp", "tcp6")
_ESTABLISHED: Final = "01"


@dataclass(frozen=True, slots=True)
class Inbound:
    """A TCP connection that `peer` has to the node's address `local`."""

    peer: Address
    peer_port: int
    local: Address
    local_port: int

    def __str__(self) -> str:
        return f"{place_text(self.peer, self.peer_port)} -> {place_text(self.local, self.local_port)}"


def established(ports: Collection[int], directory: Path = Path("/proc/thread-self/net")) -> list[Inbound]:
    """The connections to some of the node's ports. A table that the kernel does not have has none."""
    found: list[Inbound] = []
    for name in _TABLES:
        with suppress(FileNotFoundError):
            found += read_table((directory / name).read_text("ascii"), ports)
    return found


def read_table(text: str, ports: Collection[int]) -> Iterator[Inbound]:
    """The established connections to some ports in the text of a table."""
    for line in text.splitlines()[1:]:
        _number, here, there, state, *_ = line.split()
        local, local_port = _end(here)
        if state == _ESTABLISHED and local_port in ports:
            yield Inbound(*_end(there), local, local_port)


def of_ssh(text: str) -> Inbound | None:
    """The connection that SSH_CONNECTION names (ssh(1)): peer, its port, the node's address, its port."""
    try:
        peer, peer_port, local, local_port = text.split()
        return Inbound(_address(peer), int(peer_port), _address(local), int(local_port))
    except ValueError:
        return None


def _end(text: str) -> tuple[Address, int]:
    """Address and port; the kernel writes the address as words of the machine's order."""
    words, _, port = text.partition(":")
    packed = b"".join(int(words[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(words), 8))
    return _unmapped(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)), int(port, 16)


def _address(text: str) -> Address:
    """As ssh writes it: a link's address has its interface behind it."""
    return _unmapped(ip_address(text.partition("%")[0]))


def _unmapped(address: Address) -> Address:
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
