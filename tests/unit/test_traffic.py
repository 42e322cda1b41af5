from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.traffic import LAST_PORT, Protocol, Traffic, format_traffic, parse_pattern, parse_traffic, port_blocks

PORT = st.integers(0, LAST_PORT)


@pytest.mark.parametrize(
    ("text", "protocol", "port"),
    [
        ("8080/TCP", Protocol.TCP, 8080),
        ("53/UDP", Protocol.UDP, 53),
        ("9/SCTP", Protocol.SCTP, 9),
        ("echo-request/ICMP", Protocol.ICMP, 8),
        ("echo-reply/ICMP", Protocol.ICMP, 0),
        ("echo-request/ICMPv6", Protocol.ICMPV6, 128),
        ("13/ICMP", Protocol.ICMP, 13),
        ("any/TCP", Protocol.TCP, None),
    ],
)
def test_what_people_write_is_read_and_written_back(text: str, protocol: Protocol, port: int | None) -> None:
    """Reading and formatting are inverse."""
    pattern = parse_pattern(text)
    assert (pattern.protocol, pattern.port) == (protocol, port)
    assert str(pattern) == text


def test_an_echo_request_by_number_is_the_same() -> None:
    """A type may be written by its number; it is shown by its name."""
    assert parse_traffic("8/ICMP") == Traffic(Protocol.ICMP, 8)
    assert str(parse_traffic("8/icmp")) == "echo-request/ICMP"
    assert format_traffic(47, 0) == "0/47"


@pytest.mark.parametrize("text", ["", "80", "80/", "/TCP", "65536/TCP", "-1/TCP", "256/ICMP", "web/TCP", "80/GRE"])
def test_what_is_no_port_is_refused(text: str) -> None:
    """A port is a number of its protocol."""
    with pytest.raises(ValueError, match="no port"):
        parse_pattern(text)


def test_one_kind_of_packet_is_not_any() -> None:
    """`any` stands for many ports."""
    with pytest.raises(ValueError, match="many ports"):
        parse_traffic("any/TCP")


@given(st.tuples(PORT, PORT).map(sorted), PORT)
def test_blocks_make_up_exactly_the_range(ends: list[int], port: int) -> None:
    """A port is in one block of a range's blocks if it is in the range, else in none; there are at most thirty."""
    first, last = ends
    blocks = port_blocks(first, last)
    holding = [block for block in blocks if port >> (16 - block.bits) == block.port >> (16 - block.bits)]
    assert len(holding) == (1 if first <= port <= last else 0)
    assert len(blocks) <= 30


def test_a_range_of_all_ports_is_one_block() -> None:
    """Nothing is cut that need not be."""
    assert [tuple(block) for block in port_blocks(0, LAST_PORT)] == [(0, 0)]
    assert [tuple(block) for block in port_blocks(80, 80)] == [(80, 16)]
    assert [tuple(block) for block in port_blocks(8000, 8063)] == [(8000, 10)]
