"""What is told of a packet, and what happens when nobody listens."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ringfence.abi import EVENT, CtStatus, Direction, EventKind, Reason, Verdict
from ringfence.datapath.addresses import mapped
from ringfence.datapath.loader import load
from ringfence.datapath.syscall import prog_test_run
from tests.bpf.conftest import BACKEND, FRONTEND, SMALL, WORLD
from tests.bpf.host import DROP, LOOPBACK, REDIRECT, Host, framed
from tests.bpf.packets import CLIENT_PORT, SERVER_PORT, Network, gre, icmp, ping, tcp, udp

ROOM = 4095 // (EVENT.itemsize + 8)  # events in the smallest ring, which the kernel never fills to the last byte


@pytest.fixture
def cramped() -> Iterator[Host]:
    """A host whose rings are one page each, on one CPU: what is written goes to one of them."""
    with on_one_cpu(), load({}, SMALL | {"events": 4096}) as loaded:
        host = Host(loaded)
        host.add("frontend", FRONTEND, "10.0.0.1")
        host.add("backend", BACKEND, "10.0.0.2")
        host.place(host.endpoints["frontend"], LOOPBACK)
        yield host


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Keep this thread on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tally(host: Host) -> tuple[int, int]:
    """Events written and lost."""
    row = host.loaded.maps["event_tally"].lookup(0)
    return int(row["written"]), int(row["lost"])


def address(text: str) -> bytes:
    return mapped(ip_address(text))


def said(event: Any) -> dict[str, Any]:
    """An event's fields as plain values."""
    fields = {name: event[name] for name in EVENT.names or ()}
    return {name: value.tobytes() if value.ndim else int(value) for name, value in fields.items()}


def test_an_event_says_everything_of_a_packet(host: Host, net: Network) -> None:
    """Every field of the event of an allowed connection between two endpoints."""
    before = time.monotonic_ns()
    outcome = host.sends("frontend", tcp(net.frontend, net.backend))
    fields = said(outcome.event)
    assert before < fields.pop("time") < time.monotonic_ns()
    assert fields == {
        "source": address(net.frontend),
        "destination": address(net.backend),
        "source_port": CLIENT_PORT,
        "destination_port": SERVER_PORT,
        "revision": host.committer.revision,
        "source_identity": FRONTEND,
        "destination_identity": BACKEND,
        "egress_rule": 2,  # the second default of the first endpoint
        "ingress_rule": 3,  # the first of the second
        "length": 40 if net.family == 4 else 60,
        "ifindex": LOOPBACK,
        "source_endpoint": 1,
        "destination_endpoint": 2,
        "family": net.family,
        "protocol": 6,
        "tcp_flags": 2,
        "icmp_type": 0,
        "direction": Direction.EGRESS,
        "verdict": Verdict.ALLOW,
        "reason": Reason.FORWARDED,
        "status": CtStatus.NEW,
        "kind": EventKind.VERDICT,
        "egress_shape": 54,  # the default of any peer and port: the broadest of all
        "ingress_shape": 54,
        "pad": 0,
        "service": 0,
        "pad2": bytes(6),
        "packets": (1).to_bytes(16, "little"),
        "bytes": (40 if net.family == 4 else 60).to_bytes(16, "little"),
    }


def test_an_event_of_a_packet_from_the_world(host: Host, net: Network) -> None:
    """At the destination's hook the direction is ingress, and the source is nobody on this host."""
    event = said(host.gets("backend", udp(net.outside, net.backend, dport=53)).event)
    assert (event["source_identity"], event["source_endpoint"]) == (WORLD, 0)
    assert (event["destination_identity"], event["destination_endpoint"]) == (BACKEND, 2)
    assert (event["direction"], event["egress_rule"], event["ingress_rule"]) == (Direction.INGRESS, 0, 3)
    assert (event["protocol"], event["tcp_flags"]) == (17, 0)


def test_an_event_of_a_ping_has_type_and_identifier(host: Host, net: Network) -> None:
    """An echo's identifier stands where ports do."""
    event = said(host.sends("frontend", ping(net.frontend, net.backend, identifier=777)).event)
    assert (event["icmp_type"], event["protocol"]) == (net.ping_types[0], net.ping_protocol)
    assert (event["source_port"], event["destination_port"]) == (777, 777)


@pytest.mark.parametrize("kind", ["gre", "icmp"])
def test_an_event_of_a_packet_without_ports_has_none(host: Host, net: Network, kind: str) -> None:
    """Protocols without ports have 0 there."""
    packet = gre(net.frontend, net.backend) if kind == "gre" else icmp(net.frontend, net.backend, 13)
    event = said(host.sends("frontend", packet).event)
    assert (event["source_port"], event["destination_port"]) == (0, 0)
    assert event["icmp_type"] == (0 if kind == "gre" else 13)


def test_an_event_of_a_spoofed_packet_says_what_it_claimed(host: Host, net: Network) -> None:
    """The addresses are those in the packet, the identities those of the addresses, the interface where it was met."""
    event = said(host.sends("frontend", tcp(net.backend, net.outside)).event)
    assert (event["verdict"], event["reason"]) == (Verdict.DENY, Reason.INVALID_SOURCE)
    assert event["source"] == address(net.backend)
    assert (event["source_identity"], event["destination_identity"]) == (BACKEND, WORLD)
    assert (event["ifindex"], event["egress_rule"], event["ingress_rule"]) == (LOOPBACK, 0, 0)


def test_an_event_of_what_does_not_parse_says_whose_interface_it_was(host: Host) -> None:
    """Of what cannot be read the endpoint, the length and the reason are told."""
    frame = Ether(src="02:00:00:00:01:01", dst="02:00:00:00:00:01", type=0x88CC) / Raw(bytes(60))
    event = said(host.sends("frontend", frame).event)
    assert (event["source_endpoint"], event["destination_endpoint"], event["length"]) == (1, 0, 60)
    assert (event["family"], event["source"], event["reason"]) == (0, bytes(16), Reason.UNSUPPORTED_L3)
    event = said(host.gets("backend", frame).event)
    assert (event["source_endpoint"], event["destination_endpoint"]) == (0, 2)
    assert event["direction"] == Direction.INGRESS


def test_an_allowed_packet_of_a_live_connection_is_not_told(host: Host, net: Network) -> None:
    """By default an event is written for every judgement and every denial, not for the packets in between."""
    assert len(host.sends("frontend", tcp(net.frontend, net.backend)).events) == 1
    assert len(host.sends("frontend", tcp(net.frontend, net.backend, "A")).events) == 0
    host.isolate("backend", Direction.INGRESS)
    for _ in range(3):
        assert len(host.sends("frontend", tcp(net.frontend, net.backend, "A")).events) == 1


def test_events_are_in_order(host: Host, net: Network) -> None:
    """Times rise from event to event."""
    times = [int(host.sends("frontend", udp(net.frontend, net.backend, sport=port)).event["time"]) for port in range(9)]
    assert times == sorted(set(times))


def test_the_tally_counts_events(host: Host, net: Network) -> None:
    """Every event that was written is counted."""
    for port in range(5):
        host.sends("frontend", udp(net.frontend, net.backend, sport=port))
    assert tally(host) == (5, 0)


def test_a_full_ring_loses_the_event_and_not_the_packet(cramped: Host) -> None:
    """When nobody reads, packets are judged, delivered and counted as ever; what could not be told is counted."""
    runs = 3 * ROOM
    denied = cramped.isolate("backend", Direction.INGRESS)
    fd = cramped.loaded.programs["from_endpoint"]
    verdicts = set()
    for port in range(runs):
        verdicts.add(answer(fd, framed(udp("10.0.0.1", "10.0.0.2", sport=port))))
    written, lost = tally(cramped)
    assert verdicts == {DROP}
    assert (written + lost, written) == (runs, ROOM)
    assert cramped.counted(Reason.POLICY_DENIED, Direction.INGRESS) == runs
    events = cramped.ring.read()
    assert len(events) == ROOM
    assert {int(each) for each in events["ingress_rule"]} == {denied}


def test_an_allowed_packet_passes_a_full_ring(cramped: Host) -> None:
    """A full ring holds up nothing: allowed packets are delivered, and their connections remembered."""
    fd = cramped.loaded.programs["from_endpoint"]
    verdicts = {answer(fd, framed(udp("10.0.0.1", "10.0.0.2", sport=port))) for port in range(3 * ROOM)}
    assert verdicts == {REDIRECT}
    assert len(cramped.connections()) == 3 * ROOM


def test_a_ring_that_is_read_again_takes_events_again(cramped: Host) -> None:
    """After a loss the next event that finds room is written."""
    fd = cramped.loaded.programs["from_endpoint"]
    for port in range(2 * ROOM):
        answer(fd, framed(udp("10.0.0.1", "10.0.0.2", sport=port)))
    lost = tally(cramped)[1]
    assert lost == ROOM
    cramped.ring.read()
    answer(fd, framed(udp("10.0.0.1", "10.0.0.2", sport=60000)))
    assert int(cramped.ring.read()[0]["source_port"]) == 60000
    assert tally(cramped)[1] == lost


def answer(fd: int, frame: bytes) -> int:
    """The program's answer, with the ring left alone."""
    return prog_test_run(fd, frame).retval
