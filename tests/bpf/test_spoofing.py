"""Packets that are not where they say they come from, or go to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.packet import Packet

from ringfence.abi import Direction, Reason
from ringfence.engine.commands import Peer
from tests.bpf.conftest import FRONTEND, STRANGER
from tests.bpf.host import Host, Outcome
from tests.bpf.packets import Network, gre, ping, sctp, tcp, udp

JUDGED = 0x5F000000  # the mark of packets whose egress a source's hook has judged

UNSPECIFIED = {4: "0.0.0.0", 6: "::"}  # noqa: S104 an address in a packet
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
MULTICAST = {4: "224.0.0.1", 6: "ff02::1"}
LINK_LOCAL = {4: "169.254.0.1", 6: "fe80::1"}


def assert_dropped(outcome: Outcome, reason: Reason, direction: Direction, host: Host) -> None:
    """Dropped for the reason, unjudged, told and counted."""
    assert not outcome.passed
    assert outcome.reason == reason
    assert outcome.rules == (0, 0)
    assert outcome.event["direction"] == direction
    assert host.counted(reason, direction) == 1
    assert not host.connections(4)
    assert not host.connections(6)


@pytest.mark.parametrize("make", [tcp, udp, sctp, gre, ping])
def test_an_endpoint_cannot_send_with_the_address_of_another(
    host: Host, net: Network, make: Callable[[str, str], Packet]
) -> None:
    """What an endpoint sends with another endpoint's address is dropped, whatever the protocol."""
    outcome = host.sends("frontend", make(net.backend, net.outside))
    assert_dropped(outcome, Reason.INVALID_SOURCE, Direction.EGRESS, host)


@pytest.mark.parametrize("source", [UNSPECIFIED, LOOPBACK, MULTICAST, LINK_LOCAL])
def test_an_endpoint_cannot_send_with_an_address_that_is_nobodys(
    host: Host, net: Network, source: dict[int, str]
) -> None:
    """What an endpoint sends with an address that no endpoint has is dropped."""
    outcome = host.sends("frontend", udp(source[net.family], net.backend))
    assert_dropped(outcome, Reason.INVALID_SOURCE, Direction.EGRESS, host)


def test_an_endpoint_cannot_send_with_an_outside_address(host: Host, net: Network) -> None:
    """An address that the ipcache knows, but that lives elsewhere, is not the endpoint's own."""
    host.known({net.outside: Peer(FRONTEND, 0, 0)})
    outcome = host.sends("frontend", udp(net.outside, net.backend))
    assert_dropped(outcome, Reason.INVALID_SOURCE, Direction.EGRESS, host)


def test_an_endpoint_may_have_several_addresses(host: Host, net: Network) -> None:
    """Every address that is committed for an endpoint is its own."""
    host.known({net.stranger: Peer(FRONTEND, 0, 1)})
    assert host.sends("frontend", udp(net.stranger, net.backend)).passed


def test_a_local_source_without_the_mark_is_forged(host: Host, net: Network) -> None:
    """A packet to an endpoint from a local address that did not pass that endpoint's own hook is dropped."""
    outcome = host.gets("backend", udp(net.frontend, net.backend))
    assert_dropped(outcome, Reason.INVALID_SOURCE, Direction.INGRESS, host)


@pytest.mark.parametrize("mark", [0x00000001, 0x5E000000, 0x1F000000, 0x4F000002])
def test_another_mark_is_no_mark(host: Host, net: Network, mark: int) -> None:
    """A mark that others have set does not make a packet judged."""
    outcome = host.gets("backend", udp(net.frontend, net.backend), mark=mark)
    assert_dropped(outcome, Reason.INVALID_SOURCE, Direction.INGRESS, host)
    assert outcome.mark == mark


def test_an_endpoint_cannot_mark_its_own_packets(host: Host, net: Network) -> None:
    """A mark on what an endpoint sends means nothing at its hook: the packet is judged."""
    rule = host.isolate("backend", Direction.INGRESS)
    outcome = host.sends("frontend", udp(net.frontend, net.backend), mark=JUDGED | 2)
    assert (outcome.passed, outcome.rules[1]) == (False, rule)


def test_a_packet_for_another_endpoint_is_not_given(host: Host, net: Network) -> None:
    """What is addressed to one endpoint, or to none, is not given to another by the stack."""
    host.add("stranger", STRANGER, net.stranger)
    outcome = host.gets("stranger", udp(net.outside, net.backend))
    assert_dropped(outcome, Reason.WRONG_INTERFACE, Direction.INGRESS, host)


@pytest.mark.parametrize("destination", [MULTICAST, {4: "198.51.100.1", 6: "2001:db8::99"}])
def test_a_packet_for_nobody_is_not_given(host: Host, net: Network, destination: dict[int, str]) -> None:
    """What is addressed to nobody on this host is not given to an endpoint."""
    outcome = host.gets("backend", udp(net.outside, destination[net.family]))
    assert_dropped(outcome, Reason.WRONG_INTERFACE, Direction.INGRESS, host)


@pytest.mark.parametrize(
    ("program", "direction"), [("from_endpoint", Direction.EGRESS), ("to_endpoint", Direction.INGRESS)]
)
def test_an_interface_without_a_record_lets_nothing_through(
    host: Host, net: Network, program: str, direction: Direction
) -> None:
    """At an interface that no endpoint is recorded for every packet is dropped, with a reason of its own."""
    outcome = host.run(program, udp(net.frontend, net.backend))
    assert_dropped(outcome, Reason.NO_ENDPOINT, direction, host)


def test_an_endpoint_that_was_removed_cannot_send(host: Host, net: Network) -> None:
    """Once an endpoint's row is cleared, what still comes from its interface is dropped."""
    host.place(host.endpoints["frontend"], 1)
    assert host.run("from_endpoint", udp(net.frontend, net.backend)).passed
    host.table.clear(1)
    outcome = host.run("from_endpoint", udp(net.frontend, net.backend))
    assert outcome.reason == Reason.NO_ENDPOINT


def test_a_connection_does_not_make_a_source_valid(host: Host, net: Network) -> None:
    """A packet of a remembered connection is dropped at an interface that is not its sender's."""
    host.add("stranger", STRANGER, net.stranger)
    host.sends("frontend", udp(net.frontend, net.backend))
    assert host.sends("stranger", udp(net.frontend, net.backend)).reason == Reason.INVALID_SOURCE
