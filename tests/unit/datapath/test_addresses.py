from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.datapath.addresses import (
    exact_keys,
    exact_network,
    is_whole,
    mapped,
    prefix_keys,
    prefix_network,
    unmapped,
)

V4 = st.integers(0, 32).flatmap(
    lambda length: st.ip_addresses(v=4).map(lambda address: IPv4Network((address, length), strict=False)),
)
V6 = st.integers(0, 128).flatmap(
    lambda length: st.ip_addresses(v=6).map(lambda address: IPv6Network((address, length), strict=False)),
)


@given(st.lists(V4 | V6, min_size=1, max_size=4))
def test_a_prefix_comes_back_from_its_key(networks: list[IPv4Network | IPv6Network]) -> None:
    """The key of a prefix in the trie is read back as the same prefix."""
    assert [prefix_network(row) for row in prefix_keys(networks)] == networks


@given(st.lists(st.ip_addresses().map(ip_network), min_size=1, max_size=4))
def test_a_whole_address_comes_back_from_its_key(networks: list[IPv4Network | IPv6Network]) -> None:
    """The key of a whole address is read back as the same address, unless it is a mapped one."""
    ordinary = [each for each in networks if each.version == 4 or each.network_address.ipv4_mapped is None]
    if ordinary:
        assert [exact_network(row) for row in exact_keys(ordinary)] == ordinary


@given(st.ip_addresses())
def test_sixteen_bytes_stand_for_one_address(address: object) -> None:
    """An IPv4 address is mapped into ::ffff:0:0/96 and back; an IPv6 address stands for itself."""
    given_address = ip_address(str(address))
    assert len(mapped(given_address)) == 16
    if given_address.version == 4:
        assert ip_address(mapped(given_address)).ipv4_mapped == given_address  # type: ignore[union-attr] # it is IPv6
        assert unmapped(mapped(given_address)) == given_address
    else:
        assert mapped(given_address) == given_address.packed


@pytest.mark.parametrize(
    ("text", "length", "family", "start"),
    [
        ("0.0.0.0/0", 32, 4, bytes(4)),
        ("10.1.0.0/16", 48, 4, bytes([10, 1, 0, 0])),
        ("::/0", 32, 6, bytes(16)),
        ("2001:db8::/32", 64, 6, bytes.fromhex("20010db8")),
    ],
)
def test_the_family_is_part_of_the_prefix(text: str, length: int, family: int, start: bytes) -> None:
    """A trie's key counts the family's 32 bits, so a prefix of one family contains no address of the other."""
    row = prefix_keys([ip_network(text)])[0]
    assert (int(row["prefix_length"]), int(row["family"])) == (length, family)
    assert row["address"].tobytes() == start.ljust(16, b"\0")


@pytest.mark.parametrize(
    ("text", "whole"),
    [("10.0.0.1/32", True), ("10.0.0.0/31", False), ("::1/128", True), ("::/32", False), ("::/0", False)],
)
def test_a_whole_address_is_a_prefix_of_full_length(text: str, *, whole: bool) -> None:
    """32 bits are a whole address of IPv4, 128 of IPv6."""
    assert is_whole(ip_network(text)) == whole
