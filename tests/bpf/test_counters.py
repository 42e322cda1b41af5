"""What is counted: packets and bytes by reason and direction, and by entry."""

from __future__ import annotations

from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ringfence.abi import Direction, MetricsLayout, Reason, Tier
from ringfence.engine.commands import Commit
from tests.bpf.conftest import BACKEND, FRONTEND, SMALL, WORLD
from tests.bpf.host import Host, key
from tests.bpf.packets import SERVER_PORT, Network, fragments, ping, tcp, tcp_reply, udp, unreachable

TO_SERVER = key(BACKEND, Direction.INGRESS, FRONTEND, protocol=6, port=SERVER_PORT)
FROM_CLIENT = key(FRONTEND, Direction.EGRESS, tier=Tier.BASELINE)


def all_counted(host: Host) -> dict[tuple[int, int], tuple[int, int]]:
    """Every row of the metrics that is not zero: (reason, direction) to packets and bytes."""
    rows, counters = host.loaded.maps["metrics"].dump()
    return {
        divmod(int(row), MetricsLayout.DIRECTIONS): (int(counter["packets"]), int(counter["bytes"]))
        for row, counter in zip(rows, counters, strict=True)
        if counter["packets"]
    }


def test_every_packet_is_counted_once(host: Host, net: Network) -> None:
    """Allowed, denied, spoofed and unreadable packets are each counted under one reason and direction, with bytes."""
    header = 20 if net.family == 4 else 40
    host.sends("frontend", tcp(net.frontend, net.backend))
    host.sends("frontend", tcp(net.frontend, net.backend, "A"))
    host.gets("backend", udp(net.outside, net.backend))
    host.isolate("backend", Direction.INGRESS)
    host.sends("frontend", udp(net.frontend, net.backend))
    host.isolate("frontend", Direction.EGRESS)
    host.sends("frontend", udp(net.frontend, net.backend))
    host.sends("frontend", udp(net.outside, net.backend))
    host.gets("frontend", udp(net.outside, net.backend))
    host.sends("frontend", Ether(src="02:00:00:00:01:01", dst="02:00:00:00:00:01", type=0x88CC) / Raw(bytes(50)))
    datagram = header + 8 + 32
    assert all_counted(host) == {
        (Reason.FORWARDED, Direction.EGRESS): (2, 2 * (header + 20)),
        (Reason.FORWARDED, Direction.INGRESS): (1, datagram),
        (Reason.POLICY_DENIED, Direction.INGRESS): (1, datagram),
        (Reason.POLICY_DENIED, Direction.EGRESS): (1, datagram),
        (Reason.INVALID_SOURCE, Direction.EGRESS): (1, datagram),
        (Reason.WRONG_INTERFACE, Direction.INGRESS): (1, datagram),
        (Reason.UNSUPPORTED_L3, Direction.EGRESS): (1, 50),
    }


def test_an_allowed_packet_counts_for_both_entries(host: Host, net: Network) -> None:
    """Every packet of a connection counts for the entries that allow it in both directions, replies included."""
    host.isolate("backend", Direction.INGRESS)
    host.allow(TO_SERVER)
    length = 40 if net.family == 4 else 60
    host.sends("frontend", tcp(net.frontend, net.backend))
    host.sends("backend", tcp_reply(net.backend, net.frontend))
    host.sends("frontend", tcp(net.frontend, net.backend, "A"))
    assert host.hits(TO_SERVER) == (3, 3 * length)
    assert host.hits(FROM_CLIENT) == (3, 3 * length)
    assert host.hits(key(BACKEND, Direction.INGRESS)) == (0, 0)


def test_a_denied_packet_counts_for_the_denying_entry(host: Host, net: Network) -> None:
    """Only the entry that denied counts, not the one that would have allowed the other direction."""
    host.isolate("backend", Direction.INGRESS)
    for _ in range(3):
        host.sends("frontend", udp(net.frontend, net.backend))
    assert host.hits(key(BACKEND, Direction.INGRESS))[0] == 3
    assert host.hits(FROM_CLIENT) == (0, 0)


def test_the_hits_of_all_ingress_entries_are_the_packets_judged(host: Host, net: Network) -> None:
    """Each packet to an endpoint counts for one of its entries: their sum is what was let through and denied."""
    host.isolate("backend", Direction.INGRESS)
    host.allow(TO_SERVER)
    host.allow(key(BACKEND, Direction.INGRESS, WORLD, protocol=17))
    for _ in range(2):
        host.sends("frontend", tcp(net.frontend, net.backend))
        host.sends("frontend", udp(net.frontend, net.backend))
        host.gets("backend", udp(net.outside, net.backend))
        host.gets("backend", ping(net.outside, net.backend))
    entries = [each for each in host.committer.policy.row_of if each.subject == BACKEND and each.direction == 1]
    counted = all_counted(host)
    assert sum(host.hits(each)[0] for each in entries) == sum(packets for packets, _ in counted.values()) == 8
    assert sum(host.hits(each)[1] for each in entries) == sum(size for _, size in counted.values())


def test_each_fragment_counts(host: Host, net: Network) -> None:
    """Fragments are counted by their own length."""
    pieces = fragments(udp(net.frontend, net.backend))
    for piece in pieces:
        host.sends("frontend", piece)
    length = sum(len(bytes(piece)) for piece in pieces)
    assert host.hits(FROM_CLIENT) == (3, length)
    assert host.traffic(Reason.FORWARDED, Direction.EGRESS) == (3, length)


def test_an_error_counts_for_the_connection_it_quotes(host: Host, net: Network) -> None:
    """A related error counts for the entries whose verdict it shares."""
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    host.sends("backend", unreachable(net.backend, net.frontend, request))
    assert host.hits(FROM_CLIENT)[0] == 2
    assert host.hits(key(BACKEND, Direction.EGRESS, tier=Tier.BASELINE)) == (0, 0)


def test_an_entry_starts_at_zero(host: Host, net: Network) -> None:
    """A new entry counts from zero, also in a row that another entry has counted in."""
    number = host.allow(TO_SERVER)
    host.sends("frontend", tcp(net.frontend, net.backend))
    used = host.committer.policy.row_of[TO_SERVER]
    host.enter(TO_SERVER, None)
    room = SMALL["policy"] - 1 - len(host.committer.policy.row_of)
    fresh = [key(BACKEND, Direction.INGRESS, 1000 + peer) for peer in range(room)]
    host.committer.commit(Commit(policy=dict.fromkeys(fresh, number)))
    again = next(each for each in fresh if host.committer.policy.row_of[each] == used)
    assert host.hits(again) == (0, 0)


def test_a_rule_that_changes_keeps_its_entrys_count(host: Host, net: Network) -> None:
    """The count is the entry's: it goes on when another rule takes the entry over."""
    host.allow(TO_SERVER)
    host.sends("frontend", tcp(net.frontend, net.backend))
    host.deny(TO_SERVER)
    host.sends("frontend", tcp(net.frontend, net.backend, "A"))
    assert host.hits(TO_SERVER)[0] == 2


def test_what_is_passed_unjudged_is_not_counted(host: Host, net: Network) -> None:
    """A packet that its source's hook judged is counted there, not a second time at its destination."""
    host.gets("backend", udp(net.frontend, net.backend), mark=0x5F000002)
    assert all_counted(host) == {}
