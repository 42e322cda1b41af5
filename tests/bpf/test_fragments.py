"""Fragments: the later ones carry no ports, and follow the verdict of the first."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.packet import Raw

from ringfence.abi import Direction, Reason
from tests.bpf.conftest import BACKEND, FRONTEND
from tests.bpf.host import Host, ip, key
from tests.bpf.packets import (
    CLIENT_PORT,
    SERVER_PORT,
    Network,
    fragment,
    fragments,
    ping,
    pong,
    sctp,
    tcp,
    udp,
    unreachable,
)

DNS = key(BACKEND, Direction.INGRESS, FRONTEND, protocol=17, port=53)


@pytest.fixture(autouse=True)
def isolated(host: Host) -> None:
    """The backend takes nothing; the frontend is open."""
    host.isolate("backend", Direction.INGRESS)


def test_all_fragments_of_an_allowed_datagram_pass(host: Host, net: Network) -> None:
    """The first fragment is judged by its ports, the others by the same, and all are of one connection."""
    number = host.allow(DNS)
    pieces = fragments(udp(net.frontend, net.backend))
    assert len(pieces) == 3
    outcomes = [host.sends("frontend", piece) for piece in pieces]
    assert [each.passed for each in outcomes] == [True, True, True]
    assert [len(each.events) for each in outcomes] == [1, 0, 0]
    assert outcomes[0].rules[1] == number
    assert host.connection(net.family)["packets"].tolist() == [3, 0]


def test_all_fragments_of_a_denied_datagram_are_dropped(host: Host, net: Network) -> None:
    """Each fragment is denied by the rule that denied the first, with its ports in the event."""
    for piece in fragments(udp(net.frontend, net.backend)):
        outcome = host.sends("frontend", piece)
        assert outcome.reason == Reason.POLICY_DENIED
        assert (outcome.event["source_port"], outcome.event["destination_port"]) == (CLIENT_PORT, 53)


def test_a_later_fragment_follows_a_change_of_policy(host: Host, net: Network) -> None:
    """A rule that is revoked between two fragments stops the second."""
    host.allow(DNS)
    first, second, last = fragments(udp(net.frontend, net.backend))
    assert host.sends("frontend", first).passed
    host.enter(DNS, None)
    assert host.sends("frontend", second).reason == Reason.POLICY_DENIED
    host.allow(DNS)
    assert host.sends("frontend", last).passed


def test_a_later_fragment_without_its_first_is_dropped(host: Host, net: Network) -> None:
    """Nothing is known of the ports of a fragment whose first was never seen."""
    host.allow(DNS)
    _, second, _ = fragments(udp(net.frontend, net.backend))
    outcome = host.sends("frontend", second)
    assert outcome.reason == Reason.FRAGMENT_WITHOUT_FIRST
    assert host.counted(Reason.FRAGMENT_WITHOUT_FIRST, Direction.EGRESS) == 1


@pytest.mark.parametrize("different", ["identification", "source", "destination", "protocol"])
def test_a_first_fragment_speaks_for_its_own_datagram_only(host: Host, net: Network, different: str) -> None:
    """A later fragment with another identification, address or (IPv4, as RFC 8200 has it) protocol has no first."""
    if different == "protocol" and net.family == 6:
        host.allow(DNS)
    host.add("stranger", 302, net.stranger)
    first = fragments(udp(net.frontend, net.backend))[0]
    host.sends("frontend", first)
    source, destination = net.frontend, net.backend
    if different == "source":
        source = net.stranger
    elif different == "destination":
        destination = net.stranger
    packet = (sctp if different == "protocol" else udp)(source, destination)
    later = fragments(packet, identification=98 if different == "identification" else 99)[1]
    sender = "stranger" if different == "source" else "frontend"
    outcome = host.sends(sender, later)
    if different == "protocol" and net.family == 6:
        assert outcome.passed
    else:
        assert outcome.reason == Reason.FRAGMENT_WITHOUT_FIRST


def test_the_newest_first_fragment_counts(host: Host, net: Network) -> None:
    """An identification that is used again means the ports of its newest first fragment."""
    host.allow(DNS)
    assert host.sends("frontend", fragments(udp(net.frontend, net.backend))[0]).passed
    first, later, _ = fragments(udp(net.frontend, net.backend, dport=54))
    assert not host.sends("frontend", first).passed
    assert not host.sends("frontend", later).passed


def test_a_fragment_that_is_whole_is_no_fragment(host: Host, net: Network) -> None:
    """A packet with a fragment header that says it is all there (RFC 6946) is judged as a whole."""
    host.allow(DNS)
    whole = udp(net.frontend, net.backend)
    assert host.sends("frontend", fragment(whole, bytes(whole.payload), 0, more=False)).passed
    assert len(host.loaded.maps["fragments"].dump()[0]) == 0


def test_a_tcp_connection_in_fragments(host: Host, net: Network) -> None:
    """A fragmented segment is judged by its flags and ports, and its later fragments are of the connection."""
    number = host.allow(key(BACKEND, Direction.INGRESS, FRONTEND, protocol=6, port=SERVER_PORT))
    first, second = fragments(tcp(net.frontend, net.backend) / Raw(b"x" * 12), 24)
    assert host.sends("frontend", first).rules[1] == number
    assert host.sends("frontend", second).passed
    assert host.connection(net.family)["tcp_flags"].tolist() == [2, 0]


def test_a_later_fragment_is_never_taken_for_a_segment_in_the_midst(host: Host, net: Network) -> None:
    """A later fragment has no flags, so it is not tried as a reply: its first was denied, and so is it."""
    host.isolate("frontend", Direction.EGRESS)
    host.allow(key(BACKEND, Direction.EGRESS, FRONTEND))
    host.allow(key(FRONTEND, Direction.INGRESS, BACKEND))
    first, second = fragments(tcp(net.frontend, net.backend, "S") / Raw(b"x" * 12), 24)
    assert host.sends("frontend", first).reason == Reason.POLICY_DENIED
    assert host.sends("frontend", second).reason == Reason.POLICY_DENIED


@pytest.mark.parametrize("size", [4, 8, 12])
def test_a_first_fragment_that_hides_the_flags_is_dropped(host: Host, net: Network, size: int) -> None:
    """A first fragment too short for the TCP flags could leave them to a second (RFC 1858)."""
    host.allow(key(BACKEND, Direction.INGRESS))
    header = bytes(TCP(sport=CLIENT_PORT, dport=SERVER_PORT, flags="S"))
    packet = tcp(net.frontend, net.backend)
    outcome = host.sends("frontend", fragment(packet, header[:size], 0, more=True))
    assert outcome.reason == Reason.INVALID_PACKET


def test_a_later_fragment_inside_the_tcp_header_is_dropped(host: Host, net: Network) -> None:
    """A second fragment at offset 8 could overwrite the flags that the first was judged by (RFC 3128)."""
    host.allow(key(BACKEND, Direction.INGRESS))
    packet = tcp(net.frontend, net.backend)
    raw = bytes(packet.payload)
    assert host.sends("frontend", fragment(packet, raw[:16], 0, more=True)).passed
    assert host.sends("frontend", fragment(packet, raw[8:], 8, more=False)).reason == Reason.INVALID_PACKET


def test_an_echo_in_fragments(host: Host, net: Network) -> None:
    """A large ping is judged by its type, and its answer passes in fragments too."""
    number = host.allow(
        key(BACKEND, Direction.INGRESS, FRONTEND, protocol=net.ping_protocol, port=net.ping_types[0]),
    )
    requests = [host.sends("frontend", piece) for piece in fragments(ping(net.frontend, net.backend))]
    assert [each.passed for each in requests] == [True, True, True]
    assert requests[0].rules[1] == number
    host.isolate("frontend", Direction.INGRESS)
    host.isolate("backend", Direction.EGRESS)
    host.sends("backend", pong(net.backend, net.frontend))
    for piece in fragments(pong(net.backend, net.frontend)):
        assert host.sends("backend", piece).passed
    for piece in fragments(pong(net.backend, net.frontend, identifier=8), identification=100):
        assert not host.sends("backend", piece).passed


def test_a_denied_echo_is_denied_in_all_its_fragments(host: Host, net: Network) -> None:
    """Later fragments of a ping that is denied carry its type in the event."""
    for piece in fragments(ping(net.frontend, net.backend)):
        outcome = host.sends("frontend", piece)
        assert (outcome.reason, outcome.event["icmp_type"]) == (Reason.POLICY_DENIED, net.ping_types[0])


def test_later_fragments_of_an_icmp_error_are_judged_by_its_type(host: Host, net: Network) -> None:
    """What an error quotes is in its first fragment: the later ones are related to nothing."""
    host.allow(DNS)
    host.isolate("backend", Direction.EGRESS)
    request = udp(net.frontend, net.backend)
    host.sends("frontend", request)
    first, later = fragments(unreachable(net.backend, net.frontend, request), 56 if net.family == 4 else 80)
    assert host.sends("backend", first).passed
    assert host.sends("backend", later).reason == Reason.POLICY_DENIED


def test_a_later_fragment_of_an_icmp_error_quotes_nothing(host: Host, net: Network) -> None:
    """A later fragment of an error is not read as if it had the error's header, whatever it is made to look like."""
    host.allow(DNS)
    host.isolate("backend", Direction.EGRESS)
    request = udp(net.frontend, net.backend)
    host.sends("frontend", request)
    error = unreachable(net.backend, net.frontend, request)
    first = fragment(error, bytes(error.payload)[:48], 0, more=True)
    host.sends("backend", first)
    assert host.sends("backend", fragment(error, bytes(8) + bytes(request), 48, more=False)).reason == (
        Reason.POLICY_DENIED
    )


def test_a_protocol_without_ports_in_fragments(host: Host, net: Network) -> None:
    """Fragments of GRE follow a rule for the protocol."""
    packet = ip(net.frontend, net.backend)
    packet.setfieldval("proto" if net.family == 4 else "nh", 47)
    pieces = fragments(packet / Raw(b"g" * 40))
    assert not host.sends("frontend", pieces[0]).passed
    assert not host.sends("frontend", pieces[1]).passed
    host.allow(key(BACKEND, Direction.INGRESS, FRONTEND, protocol=47))
    assert all(host.sends("frontend", piece).passed for piece in pieces)


def test_fragments_from_outside_follow_their_first(host: Host, net: Network) -> None:
    """At an endpoint's ingress hook fragments from the world are judged like any others."""
    host.allow(key(BACKEND, Direction.INGRESS, 2, protocol=17, port=53))
    assert [host.gets("backend", each).passed for each in fragments(udp(net.outside, net.backend))] == [True] * 3
    denied = fragments(udp(net.outside, net.backend, dport=54), identification=5)
    assert [host.gets("backend", each).passed for each in denied] == [False] * 3


def test_a_spoofed_first_fragment_is_dropped_with_all_that_follow(host: Host, net: Network) -> None:
    """Later fragments with another's address are spoofed like the first."""
    for piece in fragments(udp(net.backend, net.frontend)):
        assert host.sends("frontend", piece).reason == Reason.INVALID_SOURCE


def test_extension_headers_behind_the_fragment_header(host: Host) -> None:
    """IPv6: a first fragment's extension headers are stepped over to its ports; one without its ports is dropped."""
    host.allow(DNS)
    ends = {"src": "fd00::1", "dst": "fd00::2"}
    first = IPv6(**ends) / IPv6ExtHdrFragment(id=1, m=1) / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=53)
    assert host.sends("frontend", first).passed
    cut = bytes(IPv6(**ends) / IPv6ExtHdrFragment(id=2, m=1) / IPv6ExtHdrDestOpt(nh=17))
    assert host.sends("frontend", IPv6(cut)).reason == Reason.INVALID_PACKET


def test_later_fragments_may_name_the_header_their_chain_began_with(host: Host) -> None:
    """IPv6: whatever a later fragment says its first header is, it follows its first, as it is reassembled."""
    ends = {"src": "fd00::1", "dst": "fd00::2"}
    first = IPv6(**ends) / IPv6ExtHdrFragment(id=1, m=1) / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=53)
    later = IPv6(**ends) / IPv6ExtHdrFragment(id=1, offset=4, nh=60) / Raw(b"x" * 8)
    host.allow(DNS)
    assert host.sends("frontend", first).passed
    assert host.sends("frontend", later).passed
    host.enter(DNS, None)
    assert host.sends("frontend", later).reason == Reason.POLICY_DENIED


def test_a_fragment_of_a_fragment_is_not_let_through_by_its_outer_header(host: Host) -> None:
    """IPv6: a later fragment inside a first one has no ports of its own, and is allowed by no port rule."""
    host.allow(DNS)
    ends = {"src": "fd00::1", "dst": "fd00::2"}
    nested = IPv6(**ends) / IPv6ExtHdrFragment(id=1, m=1) / IPv6ExtHdrFragment(id=2, offset=4, nh=17) / Raw(b"x" * 8)
    assert not host.sends("frontend", nested).passed


def test_the_layers_used_here_are_what_they_say() -> None:
    """A fragment carries the bytes of its datagram, and the protocol of the first header in it."""
    packet = ping("10.0.0.1", "10.0.0.2")
    assert b"".join(bytes(each.payload) for each in fragments(packet)) == bytes(packet.payload)
    assert fragments(packet)[0].proto == 1
    assert ICMP(bytes(fragments(packet)[0].payload)).type == 8
    assert fragments(ping("fd00::1", "fd00::2"))[0][IPv6ExtHdrFragment].nh == 58
    assert ICMPv6EchoRequest(bytes(fragments(ping("fd00::1", "fd00::2"))[0][Raw])).type == 128
