"""Packets as layers, for addresses of either family: what a test says of them is what matters to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet, Raw

from tests.bpf.host import ip

CLIENT_PORT = 40000
SERVER_PORT = 8080
PAYLOAD = Raw(b"payload-" * 4)


class Network(NamedTuple):
    """The addresses of one family that tests speak of."""

    family: int
    frontend: str
    backend: str
    stranger: str  # a third endpoint, where a test adds one
    outside: str
    everything: str  # the prefix of all addresses

    @property
    def ping_protocol(self) -> int:
        return 1 if self.family == 4 else 58

    @property
    def ping_types(self) -> tuple[int, int]:
        """Request and reply."""
        return (8, 0) if self.family == 4 else (128, 129)


NETWORKS = [
    Network(4, "10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1", "0.0.0.0/0"),
    Network(6, "fd00::1", "fd00::2", "fd00::3", "2001:db8::1", "::/0"),
]


def tcp(
    source: str,
    destination: str,
    flags: str = "S",
    *,
    sport: int = CLIENT_PORT,
    dport: int = SERVER_PORT,
    **fields: Any,
) -> Packet:
    return ip(source, destination, **fields) / TCP(sport=sport, dport=dport, flags=flags)


def tcp_reply(source: str, destination: str, flags: str = "SA") -> Packet:
    """What the server of a connection sends back."""
    return tcp(source, destination, flags, sport=SERVER_PORT, dport=CLIENT_PORT)


def udp(source: str, destination: str, *, sport: int = CLIENT_PORT, dport: int = 53, **fields: Any) -> Packet:
    return ip(source, destination, **fields) / UDP(sport=sport, dport=dport) / PAYLOAD


def sctp(source: str, destination: str, *, sport: int = CLIENT_PORT, dport: int = 9) -> Packet:
    # scapy derives no protocol number for SCTP behind IPv6
    layer = ip(source, destination)
    layer.setfieldval("proto" if layer.version == 4 else "nh", 132)
    return layer / SCTP(sport=sport, dport=dport) / SCTPChunkInit()


def gre(source: str, destination: str) -> Packet:
    layer = ip(source, destination)
    layer.setfieldval("proto" if layer.version == 4 else "nh", 47)
    return layer / GRE() / PAYLOAD


def icmp(source: str, destination: str, number: int, code: int = 0) -> Packet:
    """ICMP or ICMPv6 of any type, with nothing but its first eight bytes and zeros."""
    layer = ip(source, destination)
    if layer.version == 4:
        return layer / ICMP(type=number, code=code)
    layer.nh = 58
    return layer / Raw(bytes([number, code]) + bytes(30))


def ping(source: str, destination: str, identifier: int = 7) -> Packet:
    layer = ip(source, destination)
    return layer / (ICMP(type=8, id=identifier) if layer.version == 4 else ICMPv6EchoRequest(id=identifier)) / PAYLOAD


def pong(source: str, destination: str, identifier: int = 7) -> Packet:
    layer = ip(source, destination)
    return layer / (ICMP(type=0, id=identifier) if layer.version == 4 else ICMPv6EchoReply(id=identifier)) / PAYLOAD


def unreachable(source: str, destination: str, quoted: Packet | bytes) -> Packet:
    """An ICMP error that says a port is closed, and quotes the packet it is about."""
    layer = ip(source, destination)
    error = ICMP(type=3, code=3) if layer.version == 4 else ICMPv6DestUnreach(code=4)
    return layer / error / Raw(bytes(quoted))


def fragments(packet: Packet, size: int = 16, identification: int = 99) -> list[Packet]:
    """A datagram in pieces of `size` bytes of its payload, as either family cuts it."""
    raw = bytes(packet.payload)
    pieces = [(offset, raw[offset : offset + size]) for offset in range(0, len(raw), size)]
    return [fragment(packet, piece, offset, identification, more=offset + size < len(raw)) for offset, piece in pieces]


def fragment(packet: Packet, piece: bytes, offset: int, identification: int = 99, *, more: bool) -> Packet:
    """One piece; `offset` in bytes. The protocol is the packet's own."""
    if packet.version == 4:
        protocol = IP(bytes(packet)).proto
        flags = "MF" if more else 0
        return IP(
            src=packet.src, dst=packet.dst, id=identification, proto=protocol, flags=flags, frag=offset // 8
        ) / Raw(piece)
    protocol = IPv6(bytes(packet)).nh
    header = IPv6ExtHdrFragment(nh=protocol, id=identification, offset=offset // 8, m=int(more))
    return IPv6(src=packet.src, dst=packet.dst) / header / Raw(piece)
