"""The program at XDP of an uplink: who is on the list is dropped, before anything else is asked."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

from ringfence.abi import Direction, Reason
from ringfence.datapath.loader import load
from ringfence.datapath.prefilter import PrefilterTable
from ringfence.datapath.rows import MapFullError
from ringfence.datapath.syscall import prog_test_run
from tests.bpf.host import Host

DROPPED, PASSED = 1, 2
LISTED = ["192.0.2.0/24", "198.51.100.7/32", "2001:db8:bad::/48"]


@pytest.fixture
def table(host: Host) -> Iterator[PrefilterTable]:
    """A list in force; it is empty again afterwards."""
    found = PrefilterTable(host.loaded.maps)
    found.replace([ip_network(text) for text in LISTED])
    yield found
    found.replace([])


def verdict(host: Host, frame: bytes | Packet) -> int:
    return prog_test_run(host.loaded.programs["from_outside"], bytes(frame)).retval


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("expected", "packet"),
    [
        (DROPPED, Ether() / IP(src="192.0.2.200", dst="10.0.0.1") / TCP(dport=80)),
        (DROPPED, Ether() / IP(src="198.51.100.7", dst="10.0.0.1") / UDP(dport=53)),
        (PASSED, Ether() / IP(src="198.51.100.8", dst="10.0.0.1") / UDP(dport=53)),
        (PASSED, Ether() / IP(src="10.0.0.1", dst="192.0.2.200") / TCP(sport=80)),
        (DROPPED, Ether() / IPv6(src="2001:db8:bad::1", dst="fd00::1") / TCP(dport=80)),
        (PASSED, Ether() / IPv6(src="2001:db8:bae::1", dst="fd00::1") / TCP(dport=80)),
        (DROPPED, Ether() / IPv6(src="2001:db8:bad::1", dst="fd00::1") / IPv6ExtHdrHopByHop() / TCP(dport=80)),
        (DROPPED, Ether() / Dot1Q(vlan=7) / IP(src="192.0.2.1", dst="10.0.0.1") / TCP(dport=80)),
        (
            DROPPED,
            Ether() / Dot1AD(vlan=7) / Dot1Q(vlan=8) / IPv6(src="2001:db8:bad::1", dst="fd00::1") / TCP(dport=80),
        ),
        (DROPPED, Ether() / IP(src="192.0.2.200", dst="10.0.0.1", options=b"\x01" * 8) / TCP(dport=80)),
        (PASSED, Ether() / ARP(psrc="192.0.2.1")),
        (PASSED, bytes(Ether() / IP(src="192.0.2.1", dst="10.0.0.1"))[:20]),
        # The same bits, as an address of the other family: it is another address.
        (PASSED, Ether() / IPv6(src="::ffff:192.0.2.1", dst="fd00::1") / TCP(dport=80)),
    ],
)
def test_sources_on_the_list_are_dropped(host: Host, expected: int, packet: bytes | Packet) -> None:
    """By the source alone, of both families, also behind VLAN tags and before extension headers."""
    assert verdict(host, packet) == expected


def test_one_family_s_default_is_not_the_other_s(host: Host, table: PrefilterTable) -> None:
    """::/0 lets IPv4 through, and 0.0.0.0/0 IPv6."""
    four, six = Ether() / IP(src="203.0.113.1") / TCP(), Ether() / IPv6(src="2001:db8::1") / TCP()
    table.replace([ip_network("::/0")])
    assert (verdict(host, four), verdict(host, six)) == (PASSED, DROPPED)
    table.replace([ip_network("0.0.0.0/0")])
    assert (verdict(host, four), verdict(host, six)) == (DROPPED, PASSED)


def test_a_drop_is_counted_by_prefix_and_reason_and_told(host: Host, table: PrefilterTable) -> None:
    """The longest prefix counts it, the metrics have it under its reason, and the event names both ends."""
    table.add([ip_network("192.0.2.128/25")])
    before = host.counted(Reason.PREFILTER, Direction.INGRESS)
    host.ring.read()
    packet = Ether() / IP(src="192.0.2.200", dst="10.0.0.1") / TCP(sport=1234, dport=80)
    verdict(host, packet)
    counts = {each.prefix: (each.packets, each.bytes) for each in table.listed()}
    assert counts["192.0.2.128/25"] == (1, 40)
    assert counts["192.0.2.0/24"] == (0, 0)
    assert host.counted(Reason.PREFILTER, Direction.INGRESS) - before == 1
    [event] = host.ring.read()
    assert (event["reason"], event["destination_port"], event["source_port"]) == (Reason.PREFILTER, 80, 1234)
    assert event["source"].tobytes()[12:] == bytes([192, 0, 2, 200])


def test_a_list_is_changed_and_replaced(host: Host, table: PrefilterTable) -> None:
    """What is added drops, what is deleted passes; another list replaces all of it, and counts anew."""
    packet = Ether() / IP(src="203.0.113.9", dst="10.0.0.1") / TCP()
    new = ip_network("203.0.113.0/24")
    assert verdict(host, packet) == PASSED
    assert table.add([new, new, ip_network(LISTED[0])]) == [new]
    assert verdict(host, packet) == DROPPED
    assert table.delete([new, ip_network("10.0.0.0/8")]) == [new]
    assert verdict(host, packet) == PASSED
    table.replace([new])
    assert [each.prefix for each in table.listed()] == [str(new)]
    assert verdict(host, packet) == DROPPED
    assert verdict(host, Ether() / IP(src="192.0.2.1") / TCP()) == PASSED


def test_a_list_that_does_not_fit_changes_nothing() -> None:
    """The list in force stays, and the error says what to do."""
    with load({}, {"prefilter": 64}) as loaded:
        table = PrefilterTable(loaded.maps)
        kept = ip_network("192.0.2.0/24")
        table.replace([kept])
        many = [ip_network((number << 8, 24)) for number in range(80)]
        with pytest.raises(MapFullError, match=r"no room for 80 prefixes.*--map-size prefilter=N"):
            table.replace(many)
        assert [each.prefix for each in table.listed()] == [str(kept)]
        with pytest.raises(MapFullError):
            table.add(many)
        assert [each.prefix for each in table.listed()] == [str(kept)]
