"""Services: a connection is led to a backend and stays there, its replies come from the service, policy judges it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet

from ringfence.abi import BackendState, CtFlag, Delivery, Direction, EventKind, Reason
from ringfence.service.maglev import maglev
from ringfence.service.row import Backend
from tests.bpf.conftest import BACKEND, FRONTEND, wipe
from tests.bpf.host import REDIRECT, Host, Outcome, key
from tests.bpf.packets import CLIENT_PORT, SERVER_PORT, Network, fragments, sctp, tcp, udp, unreachable

PORT = 80
SERVICE = {4: "10.96.0.10", 6: "fd96::10"}
HAIRPIN = {4: "169.254.42.1", 6: "100::a9fe:2a01"}
LAYERS = {6: TCP, 17: UDP, 132: SCTP}
Make = Callable[..., Packet]


def tuple_of(outcome: Outcome) -> tuple[str, int, str, int]:
    """Source, port, destination, port of the frame as it left."""
    network = outcome.packet[IP] if IP in outcome.packet else outcome.packet[IPv6]
    ports = next(outcome.packet[layer] for layer in LAYERS.values() if layer in outcome.packet)
    return network.src, ports.sport, network.dst, ports.dport


def assert_checksums_hold(outcome: Outcome) -> None:
    """Every checksum in the frame is what scapy makes it when it is written anew."""
    frame = outcome.packet
    raw = bytes(frame)
    for layer, name in ((IP, "chksum"), (TCP, "chksum"), (UDP, "chksum")):
        if layer in frame:
            delattr(frame[layer], name)
    assert bytes(Ether(bytes(frame))) == raw


def ask(net: Network, flags: str = "S", **fields: Any) -> Packet:
    """What a client sends to the service."""
    return tcp(net.frontend, SERVICE[net.family], flags, dport=PORT, **fields)


def answer(net: Network, flags: str = "SA") -> Packet:
    """What the backend answers."""
    return tcp(net.backend, net.frontend, flags, sport=SERVER_PORT, dport=CLIENT_PORT)


@pytest.fixture
def served(host: Host, net: Network) -> Host:
    """A service with the backend behind it."""
    host.serve(SERVICE[net.family], PORT, (net.backend, SERVER_PORT))
    return host


# --- there and back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "protocol", "port"), [(tcp, 6, PORT), (udp, 17, PORT), (sctp, 132, SERVER_PORT)])
def test_a_connection_goes_to_the_backend_and_its_replies_come_from_the_service(
    host: Host, net: Network, make: Make, protocol: int, port: int
) -> None:
    """Destination and port are the backend's on the way there, the service's are the source on the way back."""
    address = SERVICE[net.family]
    host.serve(address, port, (net.backend, SERVER_PORT), protocol=protocol)
    there = host.sends("frontend", make(net.frontend, address, sport=CLIENT_PORT, dport=port))
    assert tuple_of(there) == (net.frontend, CLIENT_PORT, net.backend, SERVER_PORT)
    assert_checksums_hold(there)
    reply = make(net.backend, net.frontend, sport=SERVER_PORT, dport=CLIENT_PORT)
    if make is tcp:
        reply[TCP].flags = "SA"
    back = host.sends("backend", reply)
    assert tuple_of(back) == (address, port, net.frontend, CLIENT_PORT)
    assert_checksums_hold(back)


def test_the_event_names_backend_and_service(served: Host, net: Network) -> None:
    """The event of a connection has the backend's address, identity and endpoint, and the service's row."""
    event = served.sends("frontend", ask(net)).event
    assert (event["destination_port"], event["destination_identity"]) == (SERVER_PORT, BACKEND)
    assert event["destination_endpoint"] == served.endpoints["backend"].row
    assert event["service"] == 1


def test_later_packets_are_translated_by_the_cache(served: Host, net: Network) -> None:
    """An established connection writes no more events and is translated all the same, both ways."""
    served.sends("frontend", ask(net))
    served.sends("backend", answer(net))
    served.sends("frontend", ask(net, "A"))
    there, back = served.sends("frontend", ask(net, "A")), served.sends("backend", answer(net, "A"))
    assert (len(there.events), len(back.events)) == (0, 0)
    assert tuple_of(there) == (net.frontend, CLIENT_PORT, net.backend, SERVER_PORT)
    assert tuple_of(back) == (SERVICE[net.family], PORT, net.frontend, CLIENT_PORT)


def test_a_connection_stays_with_its_backend(host: Host, net: Network) -> None:
    """Every packet of a connection goes where its first went, also after the policy has changed."""
    backends = [(f"10.1.0.{n}" if net.family == 4 else f"fd01::{n}", SERVER_PORT) for n in range(1, 9)]
    host.serve(SERVICE[net.family], PORT, *backends)
    first = tuple_of(host.sends("frontend", ask(net)))
    for _ in range(8):
        host.known({"198.51.100.7": None})
        assert tuple_of(host.sends("frontend", ask(net, "A"))) == first


def test_connections_are_spread_over_all_backends(host: Host, net: Network) -> None:
    """Of many connections each backend gets some."""
    backends = [(f"10.1.0.{n}" if net.family == 4 else f"fd01::{n}", SERVER_PORT) for n in range(1, 5)]
    host.serve(SERVICE[net.family], PORT, *backends)
    found = {tuple_of(host.sends("frontend", ask(net, sport=20000 + n)))[2] for n in range(200)}
    assert found == {address for address, _ in backends}


def test_both_ways_count_into_one_connection(served: Host, net: Network) -> None:
    """The end of a connection tells the packets of both ways, though each way has an entry of its own."""
    for flags in ("S", "A", "PA"):
        served.sends("frontend", ask(net, flags))
    for flags in ("SA", "A", "FA"):
        served.sends("backend", answer(net, flags))
    last = served.sends("frontend", ask(net, "FA")).event
    assert last["kind"] == EventKind.CLOSE
    assert last["packets"].tolist() == [4, 3]


def test_a_reply_keeps_the_clients_entry_alive(served: Host, net: Network) -> None:
    """A client that only listens does not lose its connection: what comes back renews both entries."""
    served.sends("frontend", ask(net))
    served.sends("backend", answer(net))
    served.sends("frontend", ask(net, "A"))
    for _ in range(3):
        served.let_pass(6000)
        assert served.sends("backend", answer(net, "PA")).passed
    assert tuple_of(served.sends("frontend", ask(net, "A")))[2] == net.backend


# --- policy -------------------------------------------------------------------------------------------------------


def test_policy_judges_the_backend(served: Host, net: Network) -> None:
    """What allows the backend's identity and port allows the service; the service's own port says nothing."""
    for name, direction in (("frontend", Direction.EGRESS), ("backend", Direction.INGRESS)):
        served.isolate(name, direction)
    assert served.sends("frontend", ask(net)).reason == Reason.POLICY_DENIED
    served.allow(key(BACKEND, Direction.INGRESS, FRONTEND, protocol=6, port=SERVER_PORT))
    served.allow(key(FRONTEND, Direction.EGRESS, BACKEND, protocol=6, port=SERVER_PORT))
    there = served.sends("frontend", ask(net))
    assert tuple_of(there) == (net.frontend, CLIENT_PORT, net.backend, SERVER_PORT)
    assert served.sends("backend", answer(net)).passed


def test_revoking_a_rule_stops_both_ways_at_once(served: Host, net: Network) -> None:
    """The next packet after the commit is judged anew, there and back."""
    served.sends("frontend", ask(net))
    served.sends("backend", answer(net))
    served.deny(key(BACKEND, Direction.INGRESS, FRONTEND, protocol=6, port=SERVER_PORT))
    assert served.sends("frontend", ask(net, "A")).reason == Reason.POLICY_DENY_RULE
    assert served.sends("backend", answer(net, "A")).reason == Reason.POLICY_DENY_RULE


def test_a_forged_source_is_not_led_anywhere(served: Host, net: Network) -> None:
    """Spoofing comes before services."""
    forged = tcp(net.outside, SERVICE[net.family], dport=PORT)
    assert served.sends("frontend", forged).reason == Reason.INVALID_SOURCE


# --- no backend ---------------------------------------------------------------------------------------------------


def test_a_service_without_a_backend_says_so(host: Host, net: Network) -> None:
    """A service that has none drops with Cilium's reason for it, and the event names the service."""
    host.serve(SERVICE[net.family], PORT)
    outcome = host.sends("frontend", ask(net))
    assert (outcome.reason, outcome.event["service"]) == (Reason.NO_BACKEND, 1)


def test_an_unknown_port_of_a_service_says_so(served: Host, net: Network) -> None:
    """Other ports of a service's address lead nowhere, and not out into the world."""
    served.serve(SERVICE[net.family], 0, protocol=0, group="", no_port=True)
    outcome = served.sends("frontend", tcp(net.frontend, SERVICE[net.family], dport=81))
    assert outcome.reason == Reason.UNKNOWN_SERVICE_PORT
    assert served.sends("frontend", ask(net)).passed


def test_a_service_that_is_gone_is_an_address_like_any_other(served: Host, net: Network) -> None:
    """After its deletion nothing is translated, and its connections have ended."""
    served.sends("frontend", ask(net))
    served.withdraw(SERVICE[net.family], PORT)
    assert served.sends("backend", answer(net)).reason == Reason.NO_BACKEND
    assert tuple_of(served.sends("frontend", ask(net, sport=41000)))[2] == SERVICE[net.family]


def test_a_backend_that_goes_away_ends_its_connections_and_gets_no_new_ones(served: Host, net: Network) -> None:
    """Its replies are dropped; what the client sends goes to another, which will reset what it does not know."""
    served.sends("frontend", ask(net))
    other = "10.1.0.1" if net.family == 4 else "fd01::1"
    served.serve(SERVICE[net.family], PORT, (other, SERVER_PORT))
    assert served.sends("backend", answer(net)).reason == Reason.NO_BACKEND
    assert tuple_of(served.sends("frontend", ask(net, "A")))[2] == other


@pytest.mark.parametrize("state", [BackendState.TERMINATING, BackendState.QUARANTINED])
def test_a_backend_that_takes_no_more_keeps_what_it_has(served: Host, net: Network, state: BackendState) -> None:
    """Terminating, or not ready: connections go on, new ones go elsewhere."""
    served.sends("frontend", ask(net))
    other = "10.1.0.1" if net.family == 4 else "fd01::1"
    states = ((backend(net.backend), state), (backend(other), BackendState.ACTIVE))
    served.serve(SERVICE[net.family], PORT, backends=states, table=(1,))
    assert tuple_of(served.sends("frontend", ask(net, "A")))[2] == net.backend
    assert tuple_of(served.sends("backend", answer(net)))[0] == SERVICE[net.family]
    assert tuple_of(served.sends("frontend", ask(net, sport=41000)))[2] == other


def backend(address: str) -> Backend:
    return Backend(ip_address(address), SERVER_PORT)


# --- ICMP errors --------------------------------------------------------------------------------------------------


def quoted(outcome: Outcome) -> tuple[str, int, str, int]:
    """Source, port, destination, port of the packet that an ICMP error quotes."""
    network = outcome.packet[IP if IP in outcome.packet else IPv6]
    inner = type(network)(bytes(outcome.packet)[14 + len(bytes(network)) - len(bytes(network.payload)) + 8 :])
    return inner.src, inner.sport, inner.dst, inner.dport


def ends(outcome: Outcome) -> tuple[str, str]:
    network = outcome.packet[IP if IP in outcome.packet else IPv6]
    return network.src, network.dst


def test_the_backends_error_comes_from_the_service(served: Host, net: Network) -> None:
    """A closed port of the backend is told to the client as the service's, which is all the client knows."""
    led = served.sends("frontend", ask(net))
    error = served.sends("backend", unreachable(net.backend, net.frontend, led.packet.payload))
    assert ends(error) == (SERVICE[net.family], net.frontend)
    assert quoted(error) == (net.frontend, CLIENT_PORT, SERVICE[net.family], PORT)
    assert_checksums_hold(error)
    assert error.event["service"] == 1


def test_a_routers_error_keeps_the_routers_address(served: Host, net: Network) -> None:
    """What a router on the way to the backend says is its own; only what it quotes is the service's."""
    led = served.sends("frontend", ask(net))
    error = served.gets("frontend", unreachable(net.outside, net.frontend, led.packet.payload))
    assert ends(error) == (net.outside, net.frontend)
    assert quoted(error) == (net.frontend, CLIENT_PORT, SERVICE[net.family], PORT)
    assert_checksums_hold(error)


def test_the_clients_error_about_a_reply_goes_to_the_backend(served: Host, net: Network) -> None:
    """What the client complains of to the service reaches the backend as of its own packet."""
    served.sends("frontend", ask(net))
    reply = served.sends("backend", answer(net))
    error = served.sends("frontend", unreachable(net.frontend, SERVICE[net.family], reply.packet.payload))
    assert ends(error) == (net.frontend, net.backend)
    assert quoted(error) == (net.backend, SERVER_PORT, net.frontend, CLIENT_PORT)
    assert_checksums_hold(error)
    assert error.event["destination_endpoint"] == served.endpoints["backend"].row


# --- settings -----------------------------------------------------------------------------------------------------


def many(net: Network, count: int) -> list[tuple[str, int]]:
    return [(f"10.1.0.{n}" if net.family == 4 else f"fd01::{n:x}", SERVER_PORT) for n in range(1, count + 1)]


def test_with_affinity_a_client_keeps_its_backend(host: Host, net: Network) -> None:
    """Every connection of a client goes where its last went, until it has been silent for the timeout."""
    host.serve(SERVICE[net.family], PORT, *many(net, 16), affinity=100)
    found = {tuple_of(host.sends("frontend", ask(net, sport=20000 + n)))[2] for n in range(50)}
    assert len(found) == 1
    later = set()
    for n in range(50):
        host.forget_clients(101)
        later.add(tuple_of(host.sends("frontend", ask(net, sport=30000 + n)))[2])
    assert len(later) > 1


def test_affinity_lets_go_of_a_backend_that_went(host: Host, net: Network) -> None:
    """A client whose backend takes no more is given another."""
    host.serve(SERVICE[net.family], PORT, *many(net, 2), affinity=100)
    first = tuple_of(host.sends("frontend", ask(net)))[2]
    left = [each for each in many(net, 2) if each[0] != first]
    host.serve(SERVICE[net.family], PORT, *left, affinity=100)
    assert tuple_of(host.sends("frontend", ask(net, sport=41000)))[2] == left[0][0]


def test_only_clients_in_the_source_ranges_are_served(host: Host, net: Network) -> None:
    """loadBalancerSourceRanges: others are refused, with Cilium's reason, until the ranges change."""
    outside = ip_network("198.51.100.0/24" if net.family == 4 else "2001:db8:5::/48")
    host.serve(SERVICE[net.family], PORT, (net.backend, SERVER_PORT), source_ranges=(outside,))
    assert host.sends("frontend", ask(net)).reason == Reason.SOURCE_RANGE
    inside = ip_network("10.0.0.0/24" if net.family == 4 else "fd00::/64")
    host.serve(SERVICE[net.family], PORT, (net.backend, SERVER_PORT), source_ranges=(outside, inside))
    assert host.sends("frontend", ask(net)).passed


def test_by_maglev_a_tuple_has_its_backend_whatever_is_remembered(host: Host, net: Network) -> None:
    """The same tuple goes to the same backend again after all was forgotten, and the tuples are spread."""
    places = many(net, 4)
    table = tuple(maglev([f"{address}:{port}" for address, port in places], 251))
    host.serve(SERVICE[net.family], PORT, *places, table=table, maglev=True)
    found = [tuple_of(host.sends("frontend", ask(net, sport=20000 + n)))[2] for n in range(64)]
    wipe(host.loaded.maps[f"ct{net.family}"])
    assert [tuple_of(host.sends("frontend", ask(net, sport=20000 + n)))[2] for n in range(64)] == found
    assert set(found) == {address for address, _ in places}


# --- a client that is its own backend -----------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", [Delivery.STACK, Delivery.REDIRECT])
def test_a_client_may_be_its_own_backend(host: Host, net: Network, delivery: Delivery) -> None:
    """It sees another address as its client, so that its answer comes back to be translated; no policy is asked."""
    own = "10.0.0.9" if net.family == 4 else "fd00::9"
    host.add("loner", 309, own, delivery=delivery)
    host.isolate("loner", Direction.INGRESS)
    host.isolate("loner", Direction.EGRESS)
    host.serve(SERVICE[net.family], PORT, (own, SERVER_PORT))
    there = host.sends("loner", tcp(own, SERVICE[net.family], dport=PORT))
    assert tuple_of(there) == (HAIRPIN[net.family], CLIENT_PORT, own, SERVER_PORT)
    assert there.run.retval == REDIRECT
    reply = tcp(own, HAIRPIN[net.family], "SA", sport=SERVER_PORT, dport=CLIENT_PORT)
    back = host.sends("loner", reply)
    assert tuple_of(back) == (SERVICE[net.family], PORT, own, CLIENT_PORT)
    assert_checksums_hold(back)
    host.known({"198.51.100.7": None})
    assert tuple_of(host.sends("loner", reply))[0] == SERVICE[net.family]
    assert tuple_of(host.sends("loner", tcp(own, SERVICE[net.family], "A", dport=PORT)))[2] == own


# --- what else may happen -----------------------------------------------------------------------------------------


def test_fragments_go_where_their_first_went(host: Host, net: Network) -> None:
    """Later fragments have no ports: their addresses are translated by those of the first."""
    host.serve(SERVICE[net.family], 53, (net.backend, 5353), protocol=17)
    pieces = fragments(udp(net.frontend, SERVICE[net.family], dport=53))
    assert len(pieces) > 1
    assert {ends(host.sends("frontend", piece)) for piece in pieces} == {(net.frontend, net.backend)}


def test_a_tuple_that_another_connection_has_is_not_taken(host: Host, net: Network) -> None:
    """Client and backend talk directly by the very ports: their replies could not be told apart, so it is said so."""
    assert host.sends("frontend", tcp(net.frontend, net.backend)).passed
    host.serve(SERVICE[net.family], PORT, (net.backend, SERVER_PORT))
    assert host.sends("frontend", ask(net)).reason == Reason.TUPLE_TAKEN
    assert host.sends("frontend", ask(net, sport=41000)).passed


def test_an_evicted_backends_entry_is_made_again(served: Host, net: Network) -> None:
    """When only the client's entry is left, its next packet with news for the other brings back what replies need."""
    served.sends("frontend", ask(net))
    served.sends("backend", answer(net))
    keys, entries = served.loaded.maps[f"ct{net.family}"].dump()
    gone = (entries["verdict"] & np.uint64(CtFlag.FRONTEND)) == 0
    served.loaded.maps[f"ct{net.family}"].delete_batch(keys[gone])
    served.sends("frontend", ask(net, "PFA"))
    assert tuple_of(served.sends("backend", answer(net)))[0] == SERVICE[net.family]


def test_one_end_is_told_of_a_connection_that_falls_silent(served: Host, net: Network) -> None:
    """Of the two entries the client's tells nothing of its own."""
    served.sends("frontend", ask(net))
    served.let_pass(61)
    assert len(served.sends("frontend", ask(net)).ends) == 1
