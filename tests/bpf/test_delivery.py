"""The way on for a packet that may pass: straight to the endpoint, or to the stack with a mark."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, IPOption
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from ringfence.abi import Delivery, Direction, Mark, Reason
from tests.bpf.conftest import BACKEND, FRONTEND, STRANGER
from tests.bpf.host import PASS, REDIRECT, Host, Outcome, framed, key
from tests.bpf.packets import Network, fragments, gre, ping, sctp, tcp, tcp_reply, udp

FRONTEND_ROW, BACKEND_ROW, STRANGER_ROW = 1, 2, 3


def with_hops(packet: Packet, hops: int) -> Packet:
    packet.setfieldval("ttl" if packet.version == 4 else "hlim", hops)
    return packet


def hops(packet: Packet) -> int:
    layer = packet.getlayer(1)
    return int(layer.ttl if layer.version == 4 else layer.hlim)


def is_whole(packet: Packet) -> bool:
    """Whether the IPv4 header's checksum is right; IPv6 has none."""
    if not packet.haslayer(IP):
        return True
    fresh = packet.copy()
    del fresh[IP].chksum
    return int(Ether(bytes(fresh))[IP].chksum) == int(packet[IP].chksum)


def untouched(outcome: Outcome, packet: Packet) -> bool:
    return outcome.run.data == framed(packet)


# --- straight to the endpoint -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tcp, udp, sctp, gre, ping])
def test_a_packet_is_delivered_to_its_peer(host: Host, net: Network, make: object) -> None:
    """A packet for a local endpoint is redirected there, with the endpoint's addresses of the link and one hop less."""
    assert callable(make)
    packet: Packet = make(net.frontend, net.backend)
    before = Ether(framed(packet))
    outcome = host.sends("frontend", packet)
    assert (outcome.run.retval, outcome.mark) == (REDIRECT, 0)
    after = outcome.packet
    assert (after.dst, after.src) == ("02:00:00:00:01:02", "02:00:00:00:02:02")
    assert hops(after) == hops(before) - 1
    assert is_whole(after)
    header = 20 if net.family == 4 else 40
    assert outcome.run.data[14 + header :] == bytes(before)[14 + header :]


def test_a_reply_is_delivered_to_who_asked(host: Host, net: Network) -> None:
    """Packets of a remembered connection are delivered by the cached verdict, in both directions."""
    host.sends("frontend", tcp(net.frontend, net.backend))
    reply = host.sends("backend", tcp_reply(net.backend, net.frontend))
    assert (reply.run.retval, reply.packet.dst) == (REDIRECT, "02:00:00:00:01:01")
    again = host.sends("frontend", tcp(net.frontend, net.backend, "A"))
    assert (again.run.retval, again.packet.dst) == (REDIRECT, "02:00:00:00:01:02")
    assert hops(again.packet) == 63
    assert is_whole(again.packet)


@pytest.mark.parametrize("checksum", [0xFEFE, 0xFEFF, 0xFF00, 0xFFFE, 0x0000, 0x0001, 0x00FF, 0x0100, 0x7FFF])
def test_the_checksum_is_right_where_it_wraps(host: Host, checksum: int) -> None:
    """The checksum that is adjusted for one hop less is the one that is computed anew."""
    plain = IP(bytes(udp("10.0.0.1", "10.0.0.2", id=0)))
    packet = udp("10.0.0.1", "10.0.0.2", id=(plain.chksum - checksum) % 0xFFFF)
    assert IP(bytes(packet)).chksum == checksum
    assert is_whole(host.sends("frontend", packet).packet)


def test_a_header_with_options_is_adjusted_too(host: Host) -> None:
    """Options do not hide the fields that a hop changes."""
    outcome = host.sends("frontend", udp("10.0.0.1", "10.0.0.2", options=[IPOption(b"\x01" * 40)]))
    assert outcome.run.retval == REDIRECT
    assert is_whole(outcome.packet)


def test_fragments_are_delivered_like_their_first(host: Host, net: Network) -> None:
    """Every fragment takes the way of its datagram."""
    outcomes = [host.sends("frontend", piece) for piece in fragments(udp(net.frontend, net.backend))]
    assert [each.run.retval for each in outcomes] == [REDIRECT] * 3


@pytest.mark.parametrize("left", [0, 1])
def test_a_packet_at_the_end_of_its_hops_goes_to_the_stack(host: Host, net: Network, left: int) -> None:
    """The stack answers that the packet has no hop left: it gets it as it is."""
    packet = with_hops(udp(net.frontend, net.backend), left)
    outcome = host.sends("frontend", packet)
    assert (outcome.run.retval, outcome.mark) == (PASS, Mark.MAGIC | BACKEND_ROW)
    assert untouched(outcome, packet)


def test_the_last_hop_is_delivered(host: Host, net: Network) -> None:
    """A packet with two hops left arrives with one."""
    outcome = host.sends("frontend", with_hops(udp(net.frontend, net.backend), 2))
    assert (outcome.run.retval, hops(outcome.packet)) == (REDIRECT, 1)


# --- redirect and stack -------------------------------------------------------------------------------------------


def test_redirect_marks_for_the_destinations_hook(host: Host, net: Network) -> None:
    """A packet that is redirected to the host side passes the destination's hook: the mark says it is judged."""
    host.table.set_delivery(BACKEND_ROW, Delivery.REDIRECT)
    outcome = host.sends("frontend", udp(net.frontend, net.backend))
    assert (outcome.run.retval, outcome.mark) == (REDIRECT, Mark.MAGIC | BACKEND_ROW)
    assert (outcome.packet.dst, hops(outcome.packet)) == ("02:00:00:00:01:02", 63)


def test_stack_leaves_the_packet_as_it_is(host: Host, net: Network) -> None:
    """A packet that the stack delivers carries the mark, and is otherwise untouched."""
    host.table.set_delivery(BACKEND_ROW, Delivery.STACK)
    packet = udp(net.frontend, net.backend)
    outcome = host.sends("frontend", packet)
    assert (outcome.run.retval, outcome.mark) == (PASS, Mark.MAGIC | BACKEND_ROW)
    assert untouched(outcome, packet)


def test_a_packet_to_the_world_is_marked_as_judged_for_egress(host: Host, net: Network) -> None:
    """What leaves the host is left to the stack; its mark names no endpoint whose ingress was judged."""
    packet = udp(net.frontend, net.outside)
    for _ in ("new", "cached"):
        outcome = host.sends("frontend", packet)
        assert (outcome.run.retval, outcome.mark) == (PASS, Mark.MAGIC)
        assert untouched(outcome, packet)


def test_delivery_changes_for_live_connections(host: Host, net: Network) -> None:
    """The way of delivery is read from the endpoint's live record, for each packet."""
    packet = udp(net.frontend, net.backend)
    assert host.sends("frontend", packet).mark == 0
    host.table.set_delivery(BACKEND_ROW, Delivery.STACK)
    outcome = host.sends("frontend", packet)
    assert (outcome.run.retval, outcome.mark, len(outcome.events)) == (PASS, Mark.MAGIC | BACKEND_ROW, 0)


# --- the destination's hook ---------------------------------------------------------------------------------------


def test_a_marked_packet_passes_its_destination_unjudged(host: Host, net: Network) -> None:
    """What the source's hook judged for this endpoint is not judged again, and loses its mark."""
    host.isolate("backend", Direction.INGRESS)
    packet = udp(net.frontend, net.backend)
    outcome = host.gets("backend", packet, mark=Mark.MAGIC | BACKEND_ROW)
    assert (outcome.run.retval, outcome.mark, len(outcome.events)) == (PASS, 0, 0)
    assert untouched(outcome, packet)
    assert not host.connections(net.family)
    assert host.counted(Reason.FORWARDED, Direction.INGRESS) == 0


def test_the_mark_is_good_for_once(host: Host, net: Network) -> None:
    """Met again without its mark the packet is judged: a local source that did not pass its own hook is forged."""
    host.gets("backend", udp(net.frontend, net.backend), mark=Mark.MAGIC | BACKEND_ROW)
    assert host.gets("backend", udp(net.frontend, net.backend)).reason == Reason.INVALID_SOURCE


@pytest.mark.parametrize("row", [0, STRANGER_ROW, 4000], ids=["egress only", "another", "none"])
def test_a_packet_marked_for_another_is_judged(host: Host, net: Network, row: int) -> None:
    """What was judged for another destination, which the stack rewrote, is judged for this one's ingress."""
    host.add("stranger", STRANGER, net.stranger)
    default = host.isolate("backend", Direction.INGRESS)
    outcome = host.gets("backend", udp(net.frontend, net.backend), mark=Mark.MAGIC | row)
    assert (outcome.reason, outcome.rules) == (Reason.POLICY_DENIED, (0, default))
    number = host.allow(key(BACKEND, Direction.INGRESS, FRONTEND, protocol=17, port=53))
    outcome = host.gets("backend", udp(net.frontend, net.backend), mark=Mark.MAGIC | row)
    assert (outcome.passed, outcome.mark, outcome.rules) == (True, 0, (0, number))


def test_the_mark_does_not_make_a_wrong_destination_right(host: Host, net: Network) -> None:
    """A marked packet that arrives at an endpoint it is not addressed to is dropped."""
    host.add("stranger", STRANGER, net.stranger)
    outcome = host.gets("stranger", udp(net.frontend, net.backend), mark=Mark.MAGIC | BACKEND_ROW)
    assert outcome.reason == Reason.WRONG_INTERFACE


def test_a_packet_that_stays_on_its_way_is_not_redirected_at_ingress(host: Host, net: Network) -> None:
    """The destination's hook lets pass or drops; it delivers nowhere else."""
    packet = udp(net.outside, net.backend)
    for _ in ("new", "cached"):
        outcome = host.gets("backend", packet)
        assert (outcome.run.retval, outcome.mark) == (PASS, 0)
        assert untouched(outcome, packet)


# --- a destination that has vanished ------------------------------------------------------------------------------


def test_a_packet_for_a_vanished_endpoint_is_dropped(host: Host, net: Network) -> None:
    """A new connection to an endpoint whose interface is gone is a drop with its own reason, told and counted."""
    host.table.clear(BACKEND_ROW)
    outcome = host.sends("frontend", tcp(net.frontend, net.backend))
    assert (outcome.passed, outcome.reason) == (False, Reason.TARGET_GONE)
    assert outcome.event["destination_identity"] == BACKEND
    assert host.counted(Reason.TARGET_GONE, Direction.EGRESS) == 1
    assert not host.connections(net.family)


def test_a_live_connection_to_a_vanished_endpoint_is_dropped(host: Host, net: Network) -> None:
    """The next packet after the interface went is dropped, though the cached verdict allows it."""
    host.sends("frontend", tcp(net.frontend, net.backend))
    host.table.clear(BACKEND_ROW)
    assert host.sends("frontend", tcp(net.frontend, net.backend, "A")).reason == Reason.TARGET_GONE


def test_a_connection_goes_on_when_its_endpoint_is_back(host: Host, net: Network) -> None:
    """An endpoint whose interface comes back under another index is delivered to again."""
    host.sends("frontend", tcp(net.frontend, net.backend))
    host.table.clear(BACKEND_ROW)
    host.sends("frontend", tcp(net.frontend, net.backend, "A"))
    host.place(host.endpoints["backend"], 2222, Delivery.PEER)
    outcome = host.sends("frontend", tcp(net.frontend, net.backend, "A"))
    assert (outcome.run.retval, len(outcome.events)) == (REDIRECT, 0)


def test_a_large_packet_is_delivered_whole(host: Host, net: Network) -> None:
    """Nothing behind the headers is changed."""
    packet = udp(net.frontend, net.backend) / Raw(bytes(range(256)) * 4)
    outcome = host.sends("frontend", packet)
    assert len(outcome.run.data) == len(framed(packet))
    assert outcome.run.data[-1024:] == bytes(range(256)) * 4
