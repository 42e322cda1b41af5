"""The kernel's table of TCP sockets, and SSH_CONNECTION, as connections that came in."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ringfence.datapath.sockets import Inbound, of_ssh, read_table

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = " 00000000:00000000 02:000AF1A3 00000000     0        0 4242 2 0000000000000000 20 4 30 10 -1\n"


@pytest.mark.parametrize(
    ("row", "peer", "local"),
    [
        ("   0: 0200C0CB:0016 0100C0CB:C350 01", "203.192.0.1", "203.192.0.2"),
        (
            "   0: B80D0120000000000000000002000000:0016 B80D0120000000000000000001000000:C350 01",
            "2001:db8::1",
            "2001:db8::2",
        ),
        (
            "   0: 0000000000000000FFFF00000200C0CB:0016 0000000000000000FFFF00000100C0CB:C350 01",
            "203.192.0.1",
            "203.192.0.2",
        ),
    ],
)
def test_an_established_connection_is_read(row: str, peer: str, local: str) -> None:
    """Both families, and IPv4 at a socket of IPv6, which is a connection of IPv4 to every policy."""
    assert list(read_table(HEAD + row + REST, {22})) == [Inbound(ip_address(peer), 50000, ip_address(local), 22)]


@pytest.mark.parametrize(
    "row",
    [
        "   0: 0200C0CB:0016 00000000:0000 0A",
        "   0: 0200C0CB:0017 0100C0CB:C350 01",
        "   0: 0200C0CB:C350 0100C0CB:0016 01",
    ],
)
def test_others_are_left_out(row: str) -> None:
    """Who listens, other ports, and connections that the node made itself to such a port elsewhere."""
    assert not list(read_table(HEAD + row + REST, {22}))


def test_what_ssh_says_is_read() -> None:
    """SSH_CONNECTION, with the interface behind an address of a link; what is none names no connection."""
    told = of_ssh("fe80::1%eth0 50000 fe80::2%eth0 22")
    assert told == Inbound(ip_address("fe80::1"), 50000, ip_address("fe80::2"), 22)
    assert str(told) == "[fe80::1]:50000 -> [fe80::2]:22"
    assert of_ssh("") is None
    assert of_ssh("somewhere 1 elsewhere 2") is None
