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
