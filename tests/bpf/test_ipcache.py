"""From an address to who that is."""

from __future__ import annotations

from ipaddress import ip_network

import numpy as np
import pytest

from ringfence.abi import Direction, PeerKind, Reason
from ringfence.datapath.addresses import exact_keys, prefix_keys
from ringfence.engine.commands import Commit, Peer
from tests.bpf.conftest import BACKEND, FRONTEND, WORLD
from tests.bpf.host import Host, key
from tests.bpf.packets import NETWORKS, Network, tcp, udp

V4, V6 = NETWORKS
BROAD, MIDDLE, NARROW = Peer(16777217, 16777217, 0), Peer(16777218, 16777218, 0), Peer(16777219, 16777219, 0)
PREFIXES = {4: ("192.0.0.0/8", "192.0.2.0/24", "192.0.2.1/32"), 6: ("2001::/16", "2001:db8::/32", "2001:db8::1/128")}


def identity_of_outside(host: Host, net: Network) -> int:
    """Who the datapath takes the outside address for."""
    outcome = host.gets("backend", udp(net.outside, net.backend))
    host.let_pass(1000)
    return int(outcome.event["source_identity"])


def test_a_miss_is_world(host: Host, net: Network) -> None:
    """An address that no prefix contains is world, in no class and of no endpoint."""
    outcome = host.gets("backend", udp(net.outside, net.backend))
    assert outcome.event["source_identity"] == WORLD
    assert outcome.event["source_endpoint"] == 0


def test_the_longest_prefix_wins(host: Host, net: Network) -> None:
    """Of all prefixes that contain an address the longest says who it is; the whole address is the longest."""
    expected = [WORLD]
    for prefix, peer in zip(PREFIXES[net.family], (BROAD, MIDDLE, NARROW), strict=True):
        host.known({prefix: peer})
        expected.append(peer.identity)
        assert identity_of_outside(host, net) == peer.identity
    for prefix in reversed(PREFIXES[net.family]):
        assert identity_of_outside(host, net) == expected.pop()
        host.known({prefix: None})
    assert identity_of_outside(host, net) == WORLD


def test_the_class_comes_with_the_identity(host: Host, net: Network) -> None:
    """The prefix that says the identity says the class too."""
    host.isolate("backend", Direction.INGRESS)
    for prefix, peer in zip(PREFIXES[net.family], (BROAD, MIDDLE, NARROW), strict=True):
        host.known({prefix: peer})
        number = host.allow(key(BACKEND, Direction.INGRESS, peer.prefix_class, kind=PeerKind.PREFIX_CLASS))
        outcome = host.gets("backend", udp(net.outside, net.backend))
        assert (outcome.passed, outcome.rules[1]) == (True, number)


@pytest.mark.parametrize("here", NETWORKS, ids=["IPv4", "IPv6"])
def test_a_prefix_of_all_addresses_matches_its_family_only(host: Host, here: Network) -> None:
    """::/0 is no address of IPv4, and 0.0.0.0/0 none of IPv6."""
    there = V6 if here is V4 else V4
    host.known({there.everything: BROAD})
    assert identity_of_outside(host, here) == WORLD
    assert identity_of_outside(host, there) == BROAD.identity
    assert host.sends("frontend", tcp(here.frontend, here.backend)).event["source_identity"] == FRONTEND


def test_the_mapped_prefix_of_ipv6_matches_no_ipv4(host: Host) -> None:
    """A prefix around ::ffff:0:0/96 is of IPv6, though IPv4 addresses are written so inside."""
    host.known({"::ffff:0:0/96": BROAD, "::/64": MIDDLE})
    assert identity_of_outside(host, V4) == WORLD


def test_an_endpoint_is_itself_in_every_prefix(host: Host, net: Network) -> None:
    """A prefix that contains an endpoint's address does not take its identity."""
    host.known({net.everything: BROAD})
    outcome = host.sends("frontend", tcp(net.frontend, net.backend))
    assert (outcome.event["source_identity"], outcome.event["destination_identity"]) == (FRONTEND, BACKEND)


def test_an_exact_record_that_says_nothing_falls_through_to_the_prefixes(host: Host, net: Network) -> None:
    """A whole address whose record is empty at the revision is what its prefix is."""
    host.known({PREFIXES[net.family][1]: MIDDLE})
    whole = ip_network(PREFIXES[net.family][2])
    free = 4000  # a row that no other prefix has
    host.loaded.maps["ipcache_exact"].update_batch(exact_keys([whole]), np.array([free], np.uint32))
    assert identity_of_outside(host, net) == MIDDLE.identity


def test_a_record_of_a_revision_to_come_says_nothing(host: Host, net: Network) -> None:
    """What a commit has prepared is seen by no packet before its revision is active."""
    rows = host.loaded.maps["peer_records"].mmap_array()
    prefix = ip_network(PREFIXES[net.family][1])
    rows["identity"][4000, 0] = (host.committer.revision + 1) << 32 | 999
    host.loaded.maps["ipcache"].update(prefix_keys([prefix])[0], 4000)
    assert identity_of_outside(host, net) == WORLD
    host.committer.commit(Commit())
    assert identity_of_outside(host, net) == 999


def test_two_workloads_swap_identities_in_one_commit(host: Host, net: Network) -> None:
    """After one commit that swaps two addresses' identities each packet has the swapped pair."""
    revision = host.known({net.frontend: Peer(BACKEND, 0, 1), net.backend: Peer(FRONTEND, 0, 2)})
    event = host.sends("frontend", tcp(net.frontend, net.backend)).event
    assert (event["source_identity"], event["destination_identity"]) == (BACKEND, FRONTEND)
    assert event["revision"] == revision


def test_an_address_that_moves_to_another_endpoint_is_spoofed_from_the_first(host: Host, net: Network) -> None:
    """An address belongs to one endpoint: after the commit that moves it its old endpoint cannot send with it."""
    host.known({net.frontend: Peer(BACKEND, 0, 2)})
    assert host.sends("frontend", tcp(net.frontend, net.backend)).reason == Reason.INVALID_SOURCE
    assert host.sends("backend", tcp(net.frontend, net.outside)).passed


def test_an_address_that_is_taken_away_is_world(host: Host, net: Network) -> None:
    """An address that was taken from its endpoint is nobody's: nothing is sent from it, and it is of the world."""
    host.known({net.frontend: None})
    assert host.sends("frontend", tcp(net.frontend, net.backend)).reason == Reason.INVALID_SOURCE
    event = host.sends("backend", tcp(net.backend, net.frontend)).event
    assert (event["destination_identity"], event["destination_endpoint"]) == (WORLD, 0)
