"""Frames that open a flow: the least bytes of Ethernet, IP and transport header that the datapath reads a packet from.

Checksums are left 0: the programs do not look at them, and these frames never leave a test run.
"""

from __future__ import annotations

import struct
from typing import Final

from ringfence.identity.prefixes import Address
from ringfence.traffic import Protocol, Traffic

_ETHERNET: Final = struct.Struct("!6s6sH")
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_ETHERTYPE: Final = {4: 0x0800, 6: 0x86DD}
_HOPS: Final = 64
_SYN: Final = 0x02


def opening_frame(source: Address, destination: Address, traffic: Traffic, port: int) -> bytes:
    """The first packet of a flow. `port` is the source port, or the identifier of an ICMP message.

    Raises ValueError where the addresses are of different families.
    """
    if source.version != destination.version:
        raise ValueError(f"no packet goes from {source} to {destination}")
    payload = _payload(traffic, port)
    header = _header(source, destination, traffic.protocol, len(payload))
    return _ETHERNET.pack(bytes(6), bytes(6), _ETHERTYPE[source.version]) + header + payload


def _header(source: Address, destination: Address, protocol: int, length: int) -> bytes:
    ends = (source.packed, destination.packed)
    if source.version == 4:
        return _IPV4.pack(0x45, 0, _IPV4.size + length, 1, 0, _HOPS, protocol, 0, *ends)
    return _IPV6.pack(6 << 28, length, protocol, _HOPS, *ends)


def _payload(traffic: Traffic, port: int) -> bytes:
    match traffic.protocol:
        case Protocol.TCP:
            return struct.pack("!HHIIBBHHH", port, traffic.port, 0, 0, 5 << 4, _SYN, 0, 0, 0)
        case Protocol.UDP:
            return struct.pack("!HHHH", port, traffic.port, 8, 0)
        case Protocol.SCTP:
            return struct.pack("!HHII", port, traffic.port, 0, 0)
        case Protocol.ICMP | Protocol.ICMPV6:
            return struct.pack("!BBHHH", traffic.port, 0, 0, port, 0) + bytes(_HOPS)
        case _:
            return bytes(8)
