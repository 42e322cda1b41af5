"""A second reading of frames, by the RFCs and not by the datapath's code: what a fuzzer holds the programs against."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_WITH_PORTS = {6: 14, 17: 4, 132: 4, 136: 4}  # by protocol, the bytes that have to be there
_ETHERNET = 14


class Flow(NamedTuple):
    """Who speaks to whom. Ports are 0 where there are none; `steps` counts extension headers."""

    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    steps: int = 0
    offset: int = 0


def read(frame: bytes) -> Flow | None:
    """The flow of a whole IP packet with its upper layer's first bytes, or None; of fragments the first alone."""
    kind, packet = frame[12:14], frame[_ETHERNET:]
    if kind == b"\x08\x00" and len(packet) >= 20 and packet[0] >> 4 == 4:
        return _ipv4(packet)
    if kind == b"\x86\xdd" and len(packet) >= 40 and packet[0] >> 4 == 6:
        return _ipv6(packet)
    return None


def _ipv4(packet: bytes) -> Flow | None:
    header, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    if header < 20 or not header <= total <= len(packet) or int.from_bytes(packet[6:8], "big") & 0x1FFF:
        return None
    ends = str(ip_address(packet[12:16])), str(ip_address(packet[16:20]))
    return _upper(packet[:total], ends, packet[9], header, 0)


def _ipv6(packet: bytes) -> Flow | None:
    whole = 40 + int.from_bytes(packet[4:6], "big")
    if whole > len(packet):
        return None
    ends, kind, at, steps = (str(ip_address(packet[8:24])), str(ip_address(packet[24:40]))), packet[6], 40, 0
    packet = packet[:whole]
    while kind in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS):
        if at + 8 > len(packet):
            return None
        if kind == _FRAGMENT and int.from_bytes(packet[at + 2 : at + 4], "big") >> 3:
            return None
        units = {_FRAGMENT: 8, _AUTHENTICATION: (packet[at + 1] + 2) * 4}
        kind, at, steps = packet[at], at + units.get(kind, (packet[at + 1] + 1) * 8), steps + 1
    return _upper(packet, ends, kind, at, steps)


def _upper(packet: bytes, ends: tuple[str, str], protocol: int, at: int, steps: int) -> Flow | None:
    if at + _WITH_PORTS.get(protocol, 0) > len(packet):
        return None
    ports = (0, 0)
    if protocol in _WITH_PORTS:
        ports = int.from_bytes(packet[at : at + 2], "big"), int.from_bytes(packet[at + 2 : at + 4], "big")
    return Flow(*ends, protocol, *ports, steps, at)


def fragment_of(frame: bytes) -> tuple[object, ...] | None:
    """Which datagram a fragment, or what could be one, is of: its ends, its number, and in IPv4 its protocol."""
    kind, packet = frame[12:14], frame[_ETHERNET:]
    if kind == b"\x08\x00" and len(packet) >= 20:
        return packet[12:20], packet[4:6], packet[9]
    if kind != b"\x86\xdd" or len(packet) < 40:
        return None
    kind_of_header, at = packet[6], 40
    while kind_of_header in (_HOP_BY_HOP, _ROUTING, _OPTIONS) and at + 8 <= len(packet):
        kind_of_header, at = packet[at], at + (packet[at + 1] + 1) * 8
    return (packet[8:40], packet[at + 4 : at + 8]) if kind_of_header == _FRAGMENT else None


def quoted(frame: bytes) -> Flow | None:
    """The flow of the packet that an ICMP error is about, of which eight bytes of the upper layer are enough."""
    flow = read(frame)
    if flow is None or flow.protocol not in (1, 58):
        return None
    start = _ETHERNET + flow.offset
    errors = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4)}
    if len(frame) < start + 8 or frame[start] not in errors[flow.protocol]:
        return None
    inner = frame[start + 8 :]
    if flow.protocol == 1:
        header = (inner[0] & 15) * 4 if inner else 0
        whole = inner[:2] + len(inner.ljust(header + 20, b"\0")).to_bytes(2, "big") + inner[4:]
        return read(b"\0" * 12 + b"\x08\x00" + whole.ljust(header + 20, b"\0"))
    whole = inner[:4] + max(len(inner) - 40, 20).to_bytes(2, "big") + inner[6:]
    return read(b"\0" * 12 + b"\x86\xdd" + whole.ljust(60, b"\0"))


def residues(frame: bytes) -> tuple[int, int | None]:
    """What is wrong with the checksums of a frame: of its IPv4 header, and of its upper layer if that is TCP or UDP.

    Right is 0. Whatever is wrong stays so where a checksum is made up for what is changed only (RFC 1624). A checksum
    of 0 in UDP is none, over IPv6 as well (RFC 6935).
    """
    flow, packet = read(frame), frame[_ETHERNET:]
    header = _wrong(packet[: (packet[0] & 15) * 4]) if has_header_checksum(frame) else 0
    if flow is None or flow.protocol not in (6, 17):
        return header, None
    if has_header_checksum(frame):
        ends, whole = packet[12:20], int.from_bytes(packet[2:4], "big")
    else:
        ends, whole = packet[8:40], 40 + int.from_bytes(packet[4:6], "big")
    upper, at = packet[flow.offset : whole], {6: 16, 17: 6}[flow.protocol]
    if len(upper) < at + 2 or (flow.protocol == 17 and upper[at : at + 2] == b"\0\0"):
        return header, None
    pseudo = ends + bytes([0, flow.protocol]) + len(upper).to_bytes(2, "big")
    return header, _wrong(pseudo + upper)


def has_header_checksum(frame: bytes) -> bool:
    """Whether it is IPv4."""
    return frame[12:14] == b"\x08\x00" and len(frame) >= _ETHERNET + 20


def _wrong(data: bytes) -> int:
    """The Internet checksum of data that holds its own (RFC 1071): 0 if that is right."""
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(data), 2))
    return (0xFFFF - total) % 0xFFFF
