"""Traffic: the protocol of a packet and what stands for its port.

For TCP, UDP and SCTP that is the destination port, for ICMP and ICMPv6 the message type. A rule names ranges of ports;
the policy map knows only blocks of ports with a common prefix of bits, so a range is cut into the fewest blocks.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

PORT_BITS: Final = 16
LAST_PORT: Final = 65535
LAST_ICMP_TYPE: Final = 255


class Protocol(IntEnum):
    """IP protocol numbers (IANA) of what policies can name."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    SCTP = 132


#: What a port can be called (IANA's rule for service names).
PORT_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9-]{1,15}\Z")
WITH_PORTS: Final = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
_SPELLING: Final = {protocol: protocol.name for protocol in Protocol} | {Protocol.ICMPV6: "ICMPv6"}
_BY_NAME: Final = {protocol.name: protocol for protocol in Protocol}

#: CamelCase names of ICMP types as CiliumNetworkPolicy accepts them (IANA's registries).
ICMP_TYPES: Final = {
    "EchoReply": 0, "DestinationUnreachable": 3, "Redirect": 5, "Echo": 8, "EchoRequest": 8, "RouterAdvertisement": 9,
    "RouterSelection": 10, "TimeExceeded": 11, "ParameterProblem": 12, "Timestamp": 13, "TimestampReply": 14,
    "Photuris": 40, "ExtendedEcho Request": 42, "ExtendedEcho Reply": 43, "ExtendedEchoRequest": 42,
    "ExtendedEchoReply": 43,
}  # fmt: skip
ICMPV6_TYPES: Final = {
    "DestinationUnreachable": 1, "PacketTooBig": 2, "TimeExceeded": 3, "ParameterProblem": 4, "EchoRequest": 128,
    "EchoReply": 129, "MulticastListenerQuery": 130, "MulticastListenerReport": 131, "MulticastListenerDone": 132,
    "RouterSolicitation": 133, "RouterAdvertisement": 134, "NeighborSolicitation": 135, "NeighborAdvertisement": 136,
    "RedirectMessage": 137, "RouterRenumbering": 138, "ICMPNodeInformationQuery": 139,
    "ICMPNodeInformationResponse": 140, "InverseNeighborDiscoverySolicitation": 141,
    "InverseNeighborDiscoveryAdvertisement": 142, "HomeAgentAddressDiscoveryRequest": 144,
    "HomeAgentAddressDiscoveryReply": 145, "MobilePrefixSolicitation": 146, "MobilePrefixAdvertisement": 147,
    "DuplicateAddressRequestCodeSuffix": 157, "DuplicateAddressConfirmationCodeSuffix": 158,
    "ExtendedEchoRequest": 160, "ExtendedEchoReply": 161,
}  # fmt: skip
_ECHO: Final = {
    (Protocol.ICMP, "echo-request"): 8, (Protocol.ICMP, "echo-reply"): 0,
    (Protocol.ICMPV6, "echo-request"): 128, (Protocol.ICMPV6, "echo-reply"): 129,
}  # fmt: skip
_ECHO_NAMES: Final = {(protocol, number): name for (protocol, name), number in _ECHO.items()}


class Traffic(NamedTuple):
    """One kind of packet: protocol number and destination port, or ICMP type."""

    protocol: int
    port: int

    def __str__(self) -> str:
        return format_traffic(self.protocol, self.port)


class TrafficPattern(NamedTuple):
    """What a person asks about: traffic, or with `port` None every port of a protocol."""

    protocol: Protocol
    port: int | None

    def __str__(self) -> str:
        return format_traffic(self.protocol, self.port)


class PortBlock(NamedTuple):
    """All ports that share the first `bits` bits with `port`."""

    port: int
    bits: int


def last_port(protocol: int) -> int:
    """The highest port, or ICMP type, of a protocol."""
    return LAST_ICMP_TYPE if protocol in {Protocol.ICMP, Protocol.ICMPV6} else LAST_PORT


def format_protocol(protocol: int) -> str:
    """The name people use, or the number of a protocol that has none here."""
    return _SPELLING[Protocol(protocol)] if protocol in _SPELLING else str(protocol)


@lru_cache(maxsize=8192)
def format_traffic(protocol: int, port: int | None) -> str:
    """`8080/TCP`, `echo-request/ICMPv6`, `3/ICMP`, `any/UDP`."""
    if port is None:
        return f"any/{format_protocol(protocol)}"
    name = _ECHO_NAMES.get((Protocol(protocol), port)) if protocol in _SPELLING else None
    return f"{name or port}/{format_protocol(protocol)}"


def parse_pattern(text: str) -> TrafficPattern:
    """Read `8080/TCP`, `echo-request/ICMP`, `8/ICMP`, `any/SCTP`. Raises ValueError that says what is wrong."""
    port_text, slash, protocol_text = text.partition("/")
    protocol = _BY_NAME.get(protocol_text.upper())
    if not slash or protocol is None:
        raise ValueError(f"{text!r} is no port: write 8080/TCP, 53/UDP, 9/SCTP, echo-request/ICMP, any/TCP")
    if port_text == "any":
        return TrafficPattern(protocol, None)
    number = _ECHO.get((protocol, port_text))
    if number is None:
        number = int(port_text) if port_text.isascii() and port_text.isdigit() else -1
    if not 0 <= number <= last_port(protocol):
        raise ValueError(f"{port_text!r} is no port of {_SPELLING[protocol]}: it has 0 to {last_port(protocol)}")
    return TrafficPattern(protocol, number)


def parse_traffic(text: str) -> Traffic:
    """Read one kind of packet, not `any`. Raises ValueError that says what is wrong."""
    pattern = parse_pattern(text)
    if pattern.port is None:
        raise ValueError(f"{text!r} stands for many ports; name one")
    return Traffic(pattern.protocol, pattern.port)


def parse_named_port(text: str) -> tuple[str, str, int]:
    """Read `http=8080/TCP`: name, protocol's name and number. Raises ValueError that says what is wrong."""
    name, _, written = text.partition("=")
    if not PORT_NAME.match(name):
        raise ValueError(f"{text!r} names no port: write http=8080/TCP, the name with up to 15 letters, digits and '-'")
    traffic = parse_traffic(written if "/" in written else f"{written}/TCP")
    if traffic.protocol not in WITH_PORTS:
        raise ValueError(f"{text!r}: {format_protocol(traffic.protocol)} has no ports")
    return name, Protocol(traffic.protocol).name, traffic.port


def port_blocks(first: int, last: int) -> list[PortBlock]:
    """The fewest blocks that make up exactly the ports from `first` to `last`, both included."""
    blocks = []
    while first <= last:
        size = first & -first or 1 << PORT_BITS
        while first + size - 1 > last:
            size >>= 1
        blocks.append(PortBlock(first, PORT_BITS - size.bit_length() + 1))
        first += size
    return blocks
