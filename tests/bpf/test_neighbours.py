"""What passes unjudged so that addresses can be resolved, and what of it is refused."""

from __future__ import annotations

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from ringfence.abi import Direction, Reason
from ringfence.engine.commands import Peer
from tests.bpf.conftest import FRONTEND
from tests.bpf.host import Host, Outcome, framed, key
from tests.bpf.packets import fragments, udp

OWN, OTHER, GATEWAY, ROUTER = "fd00::1", "fd00::2", "fd00::ffff", "fe80::ffff"
OWN4, OTHER4, GATEWAY4 = "10.0.0.1", "10.0.0.2", "10.0.0.254"
OWN_LINK_LOCAL = "fe80::1"


@pytest.fixture(autouse=True)
def isolated(host: Host) -> None:
    """Nothing is allowed, so what passes passes unjudged."""
    for name in ("frontend", "backend"):
        for direction in Direction:
            host.isolate(name, direction)


def arp(sender: str, target: str, operation: int = 1) -> Packet:
    return Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:01:01") / ARP(op=operation, psrc=sender, pdst=target)


def neighbour(source: str, destination: str, message: Packet, hop_limit: int = 255) -> Packet:
    return IPv6(src=source, dst=destination, hlim=hop_limit) / message


def unjudged(outcome: Outcome) -> bool:
    """Passed as it is to the stack, without a word."""
    return outcome.passed and len(outcome.events) == 0 and outcome.mark == 0


# --- ARP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [1, 2], ids=["request", "reply"])
def test_an_endpoint_asks_and_answers_with_its_own_address(host: Host, operation: int) -> None:
    """ARP with the endpoint's own address as sender passes unjudged."""
    assert unjudged(host.sends("frontend", arp(OWN4, GATEWAY4, operation)))


def test_an_address_probe_passes(host: Host) -> None:
    """ARP without a sender's address asks whether an address is taken, and passes."""
    assert unjudged(host.sends("frontend", arp("0.0.0.0", OWN4)))  # noqa: S104 an address in a packet


@pytest.mark.parametrize("sender", [OTHER4, GATEWAY4])
@pytest.mark.parametrize("operation", [1, 2], ids=["request", "reply"])
def test_an_endpoint_cannot_claim_an_address_by_arp(host: Host, sender: str, operation: int) -> None:
    """ARP with an address that is not the endpoint's own as sender is dropped."""
    outcome = host.sends("frontend", arp(sender, OTHER4, operation))
    assert outcome.reason == Reason.INVALID_SOURCE
    assert host.counted(Reason.INVALID_SOURCE, Direction.EGRESS) == 1


def test_an_endpoint_is_given_arp_for_its_own_address(host: Host) -> None:
    """ARP towards an endpoint passes if it asks for the endpoint, and is dropped if it asks for another."""
    assert unjudged(host.gets("frontend", arp(GATEWAY4, OWN4)))
    assert host.gets("frontend", arp(GATEWAY4, OTHER4)).reason == Reason.WRONG_INTERFACE


@pytest.mark.parametrize("length", range(14, 42))
def test_a_truncated_arp_does_not_pass_as_another(host: Host, length: int) -> None:
    """ARP that ends before its sender's address is dropped, and one without sender's own address never passes."""
    whole = bytes(arp(OTHER4, GATEWAY4))
    assert not host.sends("frontend", whole[:length]).passed
    own = bytes(arp(OWN4, GATEWAY4))
    assert host.sends("frontend", own[:length]).passed == (length >= 14 + 14 + 4)


@pytest.mark.parametrize("fields", [{"hwtype": 6}, {"ptype": 0x86DD}, {"hwlen": 8}, {"plen": 16}], ids=str)
def test_arp_of_another_format_is_dropped(host: Host, fields: dict[str, int]) -> None:
    """ARP for other than Ethernet and IPv4 has its addresses elsewhere: it is dropped in both directions."""
    packet = arp(OWN4, OWN4)
    for name, value in fields.items():
        packet[ARP].setfieldval(name, value)
    frame = bytes(packet)
    for send in (host.sends, host.gets):
        assert send("frontend", frame).reason == Reason.INVALID_PACKET


def test_arp_for_nobody_is_not_given(host: Host) -> None:
    """Only a sender may be without an address."""
    assert host.gets("frontend", arp(GATEWAY4, "0.0.0.0")).reason == Reason.WRONG_INTERFACE  # noqa: S104 in a packet


def test_arp_at_an_unknown_interface_is_dropped(host: Host) -> None:
    """Where no endpoint is recorded nothing resolves."""
    assert host.run("from_endpoint", arp(OWN4, GATEWAY4)).reason == Reason.NO_ENDPOINT


# --- neighbour discovery ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [OWN, OWN_LINK_LOCAL, "::"], ids=["own", "link-local", "unspecified"])
@pytest.mark.parametrize(
    ("destination", "message"),
    [("ff02::1:ff00:ffff", ICMPv6ND_NS(tgt=GATEWAY)), ("ff02::2", ICMPv6ND_RS())],
    ids=["neighbour", "router"],
)
def test_an_endpoint_solicits_with_its_own_address(host: Host, source: str, destination: str, message: Packet) -> None:
    """Solicitations from the endpoint's own or link-local address, and those before it has one, pass unjudged."""
    assert unjudged(host.sends("frontend", neighbour(source, destination, message)))


@pytest.mark.parametrize("message", [ICMPv6ND_NS(tgt=GATEWAY), ICMPv6ND_RS()], ids=["neighbour", "router"])
@pytest.mark.parametrize("source", [OTHER, GATEWAY, "2001:db8::1"])
def test_an_endpoint_cannot_solicit_for_another(host: Host, source: str, message: Packet) -> None:
    """A solicitation with a source that is not the endpoint's own is dropped."""
    outcome = host.sends("frontend", neighbour(source, "ff02::1:ff00:ffff", message))
    assert outcome.reason == Reason.INVALID_SOURCE


@pytest.mark.parametrize("destination", ["2001:db8::1", OTHER])
def test_neighbour_discovery_is_no_way_out(host: Host, destination: str) -> None:
    """A solicitation to an address that is not on the link would be routed: it is judged like any other packet."""
    outcome = host.sends("frontend", neighbour(OWN, destination, ICMPv6ND_NS(tgt=destination)))
    assert outcome.reason == Reason.POLICY_DENIED


def test_the_node_may_be_solicited_at_its_address(host: Host) -> None:
    """A probe of the node's own address, whether it is still there, passes unjudged."""
    host.known({GATEWAY: Peer(1, 0, 0)})
    assert unjudged(host.sends("frontend", neighbour(OWN, GATEWAY, ICMPv6ND_NS(tgt=GATEWAY))))


def test_an_endpoint_advertises_its_own_addresses(host: Host) -> None:
    """An advertisement of the endpoint's own address, from it or from its link-local one, passes unjudged."""
    for source, target in ((OWN, OWN), (OWN_LINK_LOCAL, OWN), (OWN_LINK_LOCAL, OWN_LINK_LOCAL)):
        assert unjudged(host.sends("frontend", neighbour(source, ROUTER, ICMPv6ND_NA(tgt=target))))


@pytest.mark.parametrize(
    ("source", "target"),
    [(OWN, OTHER), (OWN, GATEWAY), (OTHER, OWN), (OTHER, OTHER), ("::", OWN)],
)
def test_an_endpoint_cannot_advertise_another(host: Host, source: str, target: str) -> None:
    """An advertisement with a target, or from a source, that is not the endpoint's own is dropped."""
    outcome = host.sends("frontend", neighbour(source, "ff02::1", ICMPv6ND_NA(tgt=target)))
    assert outcome.reason == Reason.INVALID_SOURCE


@pytest.mark.parametrize("message", [ICMPv6ND_RA(), ICMPv6ND_Redirect()], ids=["advertisement", "redirect"])
@pytest.mark.parametrize("hop_limit", [255, 64])
def test_an_endpoint_cannot_take_over_routes(host: Host, message: Packet, hop_limit: int) -> None:
    """Router advertisements and redirects from an endpoint are dropped, whatever the policy."""
    host.allow(key(FRONTEND, Direction.EGRESS))
    outcome = host.sends("frontend", neighbour(OWN_LINK_LOCAL, "ff02::1", message, hop_limit))
    assert outcome.reason == Reason.FORBIDDEN_ICMPV6


@pytest.mark.parametrize("message", [ICMPv6ND_NS(tgt=OWN), ICMPv6ND_NA(tgt=OWN), ICMPv6ND_RS()], ids=["NS", "NA", "RS"])
def test_a_forwarded_neighbour_message_is_dropped(host: Host, message: Packet) -> None:
    """Only who is on the link has hop limit 255: any other is dropped in both directions."""
    assert host.sends("frontend", neighbour(OWN, GATEWAY, message, 254)).reason == Reason.INVALID_PACKET
    assert host.gets("frontend", neighbour(GATEWAY, OWN, message, 254)).reason == Reason.INVALID_PACKET


def test_a_neighbour_message_with_a_code_is_dropped(host: Host) -> None:
    """A neighbour message has code 0."""
    assert host.sends("frontend", neighbour(OWN, GATEWAY, ICMPv6ND_NS(tgt=GATEWAY, code=1))).reason == (
        Reason.INVALID_PACKET
    )


@pytest.mark.parametrize("message", [ICMPv6ND_NS(tgt=OWN), ICMPv6ND_NA(tgt=GATEWAY)], ids=["NS", "NA"])
def test_an_endpoint_is_asked_and_answered(host: Host, message: Packet) -> None:
    """Neighbour messages towards an endpoint pass unjudged."""
    assert unjudged(host.gets("frontend", neighbour(GATEWAY, OWN, message)))


def test_a_router_advertisement_towards_an_endpoint_is_judged(host: Host) -> None:
    """What the link's router says is a packet like any other to the policy of who gets it."""
    assert not host.gets("frontend", neighbour(ROUTER, OWN, ICMPv6ND_RA())).passed


def test_other_icmpv6_is_judged(host: Host) -> None:
    """Multicast listener reports are no neighbour messages: they need a valid source and a rule."""
    assert host.sends("frontend", neighbour(OWN, "ff02::16", ICMPv6MLReport2(), 1)).reason == Reason.POLICY_DENIED


@pytest.mark.parametrize("length", [8, 16, 23])
def test_a_truncated_advertisement_is_dropped(host: Host, length: int) -> None:
    """An advertisement that ends before its target says nothing that can be checked."""
    frame = framed(neighbour(OWN, ROUTER, ICMPv6ND_NA(tgt=OWN)))
    assert host.sends("frontend", frame[: 14 + 40 + length]).reason == Reason.INVALID_PACKET


def test_an_advertisement_in_fragments_cannot_hide_its_target(host: Host) -> None:
    """Each fragment of an advertisement of another's address is dropped."""
    whole = neighbour(OWN, ROUTER, ICMPv6ND_NA(tgt=OTHER))
    for piece in fragments(whole, 16):
        piece.hlim = 255
        assert not host.sends("frontend", piece).passed


def test_what_is_no_neighbour_message_needs_a_rule(host: Host) -> None:
    """The fixtures of this file allow nothing else."""
    assert not host.sends("frontend", udp(OWN, OTHER)).passed
    assert not host.sends("frontend", neighbour(OWN, OTHER, UDP())).passed
