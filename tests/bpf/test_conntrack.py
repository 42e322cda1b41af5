"""Connections: what is remembered, what a packet of a remembered one is judged by, and when it is forgotten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet

from ringfence.abi import CtFlag, CtState, CtStatus, Direction, EventKind, Reason, Verdict
from ringfence.datapath.loader import load
from ringfence.engine.commands import Peer, RuleRow
from ringfence.policy.mapstate import PolicyKey
from tests.bpf.conftest import BACKEND, FRONTEND, SMALL, WORLD
from tests.bpf.host import Host, key
from tests.bpf.packets import CLIENT_PORT, SERVER_PORT, Network, ping, pong, sctp, tcp, tcp_reply, udp

Pair = Callable[[str, str], Packet]
TO_SERVER = key(BACKEND, Direction.INGRESS, FRONTEND, protocol=6, port=SERVER_PORT)
FROM_CLIENT = key(FRONTEND, Direction.EGRESS, BACKEND, protocol=6, port=SERVER_PORT)


@pytest.fixture
def isolated(host: Host) -> Host:
    """Both isolated in both directions."""
    for name in ("frontend", "backend"):
        for direction in Direction:
            host.isolate(name, direction)
    return host


@pytest.fixture
def open_to_client(isolated: Host) -> Host:
    """Both isolated; what the client opens to the server is allowed."""
    isolated.allow(FROM_CLIENT)
    isolated.allow(TO_SERVER)
    return isolated


def opened(host: Host, net: Network) -> None:
    """A connection after its handshake."""
    assert host.sends("frontend", tcp(net.frontend, net.backend)).passed
    assert host.sends("backend", tcp_reply(net.backend, net.frontend)).passed
    assert host.sends("frontend", tcp(net.frontend, net.backend, "A")).passed


def answered(packet: Packet) -> Packet:
    """With the ports of a reply."""
    layer = packet.getlayer(1)
    layer.sport, layer.dport = layer.dport, layer.sport
    if packet.haslayer(TCP):
        layer.flags = "SA"
    return packet


# --- replies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tcp, udp, sctp])
def test_a_reply_of_an_allowed_connection_passes(host: Host, net: Network, make: Pair) -> None:
    """What answers an allowed packet passes, though no rule allows it and both sides are isolated."""
    for name in ("frontend", "backend"):
        host.isolate(name, Direction.INGRESS if name == "frontend" else Direction.EGRESS)
    assert host.sends("frontend", make(net.frontend, net.backend)).passed
    reply = host.sends("backend", answered(make(net.backend, net.frontend)))
    assert reply.passed
    assert EventKind.VERDICT not in reply.events["kind"]


@pytest.mark.parametrize("make", [udp, sctp])
def test_what_looks_like_a_reply_is_judged_when_nothing_was_asked(isolated: Host, net: Network, make: Pair) -> None:
    """A packet from a server's port is denied where no connection was opened to it."""
    outcome = isolated.sends("backend", answered(make(net.backend, net.frontend)))
    assert outcome.reason == Reason.POLICY_DENIED


def test_the_reply_of_an_outside_server_passes(host: Host, net: Network) -> None:
    """What comes back from the world to a connection that an endpoint opened passes at its ingress hook."""
    host.isolate("frontend", Direction.INGRESS)
    assert host.sends("frontend", tcp(net.frontend, net.outside)).passed
    assert host.gets("frontend", tcp_reply(net.outside, net.frontend)).passed
    assert not host.gets("frontend", tcp_reply(net.outside, net.frontend, "S")).passed


def test_a_reply_to_an_outside_client_passes(host: Host, net: Network) -> None:
    """What an endpoint answers to a connection that the world opened passes at its egress hook."""
    host.isolate("backend", Direction.EGRESS)
    assert host.gets("backend", tcp(net.outside, net.backend)).passed
    assert host.sends("backend", tcp_reply(net.backend, net.outside)).passed


def test_a_denied_flow_creates_no_entry(isolated: Host, net: Network) -> None:
    """A packet that was denied leaves nothing in conntrack, so its answer is denied too."""
    assert not isolated.sends("frontend", tcp(net.frontend, net.backend)).passed
    assert not isolated.connections(net.family)
    assert not isolated.sends("backend", tcp_reply(net.backend, net.frontend)).passed


def test_an_entry_says_who_talks_to_whom_and_by_what(open_to_client: Host, net: Network) -> None:
    """An entry names both identities, both endpoints, both records and the revision that allowed it."""
    open_to_client.sends("frontend", tcp(net.frontend, net.backend))
    entry = open_to_client.connection(net.family)
    rows = open_to_client.committer.policy.row_of
    assert (entry["source_identity"], entry["destination_identity"]) == (FRONTEND, BACKEND)
    assert (entry["egress_record"], entry["ingress_record"]) == (rows[FROM_CLIENT], rows[TO_SERVER])
    assert int(entry["endpoints"]) & 0xFFFFFFFF == 2 << 16 | 1
    assert int(entry["verdict"]) >> 32 == open_to_client.committer.revision
    assert entry["created"] == entry["last_seen"]


@pytest.mark.parametrize("word", ["verdict", "endpoints"])
def test_an_entry_of_another_tuple_is_a_miss(open_to_client: Host, net: Network, word: str) -> None:
    """An element that was recycled under a reader has another tuple's tag: the packet is judged as if it had none."""
    open_to_client.sends("frontend", tcp(net.frontend, net.backend))
    conntrack = open_to_client.loaded.maps[f"ct{net.family}"]
    found, entry = (rows[0] for rows in conntrack.dump())
    entry[word] ^= np.uint64(1 << (8 if word == "verdict" else 32))
    conntrack.update(found, entry)
    assert open_to_client.sends("frontend", tcp(net.frontend, net.backend)).status == CtStatus.NEW
    assert len(open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A")).events) == 0


def test_flows_that_differ_in_one_part_of_the_tuple_are_different(host: Host, net: Network) -> None:
    """Source port, destination port and protocol each make a connection of its own."""
    first = [tcp(net.frontend, net.backend), tcp(net.frontend, net.backend, sport=1)]
    for packet in [*first, tcp(net.frontend, net.backend, dport=1), udp(net.frontend, net.backend, dport=SERVER_PORT)]:
        assert host.sends("frontend", packet).status == CtStatus.NEW
    assert len(host.connections(net.family)) == 4


# --- a change of policy under a live connection -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revoked", "direction"),
    [(FROM_CLIENT, Direction.EGRESS), (TO_SERVER, Direction.INGRESS)],
    ids=["egress", "ingress"],
)
def test_a_revoked_rule_stops_a_live_connection_in_both_directions(
    open_to_client: Host, net: Network, revoked: PolicyKey, direction: Direction
) -> None:
    """The next packet after a rule is revoked is denied, whichever side sends it, and the event names who isolates."""
    opened(open_to_client, net)
    open_to_client.enter(revoked, None)
    forward = open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A"))
    back = open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "A"))
    for outcome, status in ((forward, CtStatus.ESTABLISHED), (back, CtStatus.REPLY)):
        assert not outcome.passed
        assert (outcome.reason, outcome.status) == (Reason.POLICY_DENIED, status)
        assert outcome.event["direction"] == direction
        assert outcome.event["revision"] == open_to_client.committer.revision


def test_a_deny_rule_stops_a_live_connection(open_to_client: Host, net: Network) -> None:
    """A deny rule that comes while a connection lives denies its next packet, in both directions, by name."""
    opened(open_to_client, net)
    rule = open_to_client.deny(key(BACKEND, Direction.INGRESS, FRONTEND))
    for name, packet in (
        ("frontend", tcp(net.frontend, net.backend, "A")),
        ("backend", tcp_reply(net.backend, net.frontend, "A")),
    ):
        outcome = open_to_client.sends(name, packet)
        assert outcome.reason == Reason.POLICY_DENY_RULE
        assert outcome.rules[1] == rule


def test_a_rule_added_back_lets_the_connection_resume(open_to_client: Host, net: Network) -> None:
    """A connection that was stopped goes on with its next packet when the rule is back, in both directions."""
    opened(open_to_client, net)
    open_to_client.enter(TO_SERVER, None)
    assert not open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A")).passed
    rule = open_to_client.allow(TO_SERVER)
    back = open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "A"))
    assert back.passed
    assert (back.status, back.rules[1]) == (CtStatus.REPLY, rule)
    assert open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A")).passed


def test_an_old_verdict_is_judged_again_once(open_to_client: Host, net: Network) -> None:
    """After a commit a live connection is judged once more, with an event; then its verdict holds, without any."""
    opened(open_to_client, net)
    silent = open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A"))
    revision = open_to_client.known({"198.51.100.0/24": Peer(WORLD, 0, 0)})
    again = open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A"))
    after = open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "A"))
    assert (len(silent.events), len(after.events)) == (0, 0)
    assert (again.event["verdict"], again.event["revision"]) == (Verdict.ALLOW, revision)
    assert again.status == CtStatus.ESTABLISHED


def test_a_connection_whose_peer_changed_identity_is_judged_by_the_new_one(open_to_client: Host, net: Network) -> None:
    """A workload that loses its labels loses its live connections with the same commit."""
    opened(open_to_client, net)
    open_to_client.known({net.frontend: Peer(999, 0, 1)})
    open_to_client.allow(key(999, Direction.EGRESS))
    assert not open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "A")).passed


# --- SYN and segments without one ---------------------------------------------------------------------------------


def test_a_syn_against_the_direction_is_judged_as_new(open_to_client: Host, net: Network) -> None:
    """The server cannot open a connection back over the client's; a denied try leaves the client's as it was."""
    opened(open_to_client, net)
    before = open_to_client.connection(net.family)
    outcome = open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "S"))
    assert (outcome.reason, outcome.status) == (Reason.POLICY_DENIED, CtStatus.NEW)
    assert outcome.event["direction"] == Direction.EGRESS
    assert open_to_client.connection(net.family) == before
    assert open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A")).passed


def test_an_allowed_syn_against_the_direction_opens_a_new_connection(host: Host, net: Network) -> None:
    """Where the server may open connections, its SYN on the same ports starts one in its own direction."""
    opened(host, net)
    outcome = host.sends("backend", tcp_reply(net.backend, net.frontend, "S"))
    assert (outcome.passed, outcome.status) == (True, CtStatus.NEW)
    entry = host.connection(net.family)
    assert entry["source_identity"] == BACKEND
    assert entry["packets"].tolist() == [1, 0]


@pytest.mark.parametrize("end", ["FA", "RA"])
@pytest.mark.parametrize("by_client", [True, False], ids=["client", "server"])
def test_a_syn_after_the_end_is_new(open_to_client: Host, net: Network, end: str, *, by_client: bool) -> None:
    """After FIN or RST of either side a SYN on the same ports is a new connection, which is judged and told."""
    opened(open_to_client, net)
    if by_client:
        open_to_client.sends("frontend", tcp(net.frontend, net.backend, end))
    else:
        open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, end))
    assert open_to_client.connection(net.family)["state"] & CtState.CLOSING
    again = open_to_client.sends("frontend", tcp(net.frontend, net.backend))
    assert (again.passed, again.status) == (True, CtStatus.NEW)
    entry = open_to_client.connection(net.family)
    assert (entry["state"], entry["packets"].tolist()) == (0, [1, 0])


def test_a_repeated_syn_belongs_to_its_connection(open_to_client: Host, net: Network) -> None:
    """A SYN that is sent again in the direction of its connection is judged by the cached verdict."""
    opened(open_to_client, net)
    again = open_to_client.sends("frontend", tcp(net.frontend, net.backend))
    assert (again.passed, len(again.events)) == (True, 0)


def test_a_segment_in_the_midst_recreates_a_forgotten_connection(open_to_client: Host, net: Network) -> None:
    """A client's segment whose entry was evicted is judged forward, and its connection remembered again."""
    outcome = open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A"))
    assert (outcome.passed, outcome.status) == (True, CtStatus.NEW)
    entry = open_to_client.connection(net.family)
    assert entry["state"] == CtState.RECREATED
    assert entry["source_identity"] == FRONTEND


def test_a_reply_in_the_midst_recreates_a_forgotten_connection(open_to_client: Host, net: Network) -> None:
    """A server's segment whose entry was evicted is judged as a reply of the client's connection, by its rules."""
    outcome = open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "PA"))
    rules = tuple(open_to_client.committer.rule_numbers()[each] for each in (FROM_CLIENT, TO_SERVER))
    assert (outcome.passed, outcome.status, outcome.rules) == (True, CtStatus.REPLY, rules)
    entry = open_to_client.connection(net.family)
    assert entry["state"] == CtState.RECREATED | CtState.REPLIED
    assert (entry["source_identity"], entry["packets"].tolist()) == (FRONTEND, [0, 1])
    forward = open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A"))
    assert (forward.passed, len(forward.events)) == (True, 0)


def test_a_segment_in_the_midst_that_no_direction_allows_is_denied(isolated: Host, net: Network) -> None:
    """A segment that is allowed neither forward nor as a reply is denied by the rule it met forward."""
    outcome = isolated.sends("frontend", tcp(net.frontend, net.backend, "A"))
    rule = isolated.committer.rule_numbers()[key(FRONTEND, Direction.EGRESS)]
    assert (outcome.reason, outcome.rules, outcome.status) == (Reason.POLICY_DENIED, (rule, 0), CtStatus.NEW)
    assert not isolated.connections(net.family)


def test_a_syn_ack_that_nobody_asked_for_is_no_reply(open_to_client: Host, net: Network) -> None:
    """Only segments without SYN recreate a connection as a reply: a SYN with ACK has to find its connection."""
    assert not open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "SA")).passed


# --- echo ---------------------------------------------------------------------------------------------------------


def ping_rules(net: Network) -> tuple[PolicyKey, PolicyKey]:
    request = net.ping_types[0]
    return (
        key(FRONTEND, Direction.EGRESS, BACKEND, protocol=net.ping_protocol, port=request),
        key(BACKEND, Direction.INGRESS, FRONTEND, protocol=net.ping_protocol, port=request),
    )


def test_an_echo_is_answered(isolated: Host, net: Network) -> None:
    """The reply to an allowed echo request passes; a request the other way does not."""
    rules = tuple(isolated.allow(each) for each in ping_rules(net))
    assert isolated.sends("frontend", ping(net.frontend, net.backend)).rules == rules
    reply = isolated.sends("backend", pong(net.backend, net.frontend))
    assert (reply.passed, len(reply.events)) == (True, 0)
    assert not isolated.sends("backend", ping(net.backend, net.frontend)).passed
    assert not isolated.sends("backend", pong(net.backend, net.frontend, identifier=8)).passed


def test_two_sides_that_ping_with_one_identifier_have_two_entries(host: Host, net: Network) -> None:
    """An echo belongs to who asks: two hosts that ping each other with one identifier do not share an entry."""
    for name, packet in (
        ("frontend", ping(net.frontend, net.backend)),
        ("backend", ping(net.backend, net.frontend)),
    ):
        assert host.sends(name, packet).status == CtStatus.NEW
    assert host.sends("backend", pong(net.backend, net.frontend)).passed
    assert host.sends("frontend", pong(net.frontend, net.backend)).passed
    entries = host.connections(net.family)
    assert sorted(entry["source_identity"] for entry in entries) == [FRONTEND, BACKEND]
    assert [entry["packets"].tolist() for entry in entries] == [[1, 1], [1, 1]]


def test_a_revoked_echo_is_judged_by_its_request_in_both_directions(isolated: Host, net: Network) -> None:
    """After a rule for echo requests is revoked the replies of the running ping stop too, and resume with it."""
    for each in ping_rules(net):
        isolated.allow(each)
    isolated.sends("frontend", ping(net.frontend, net.backend))
    isolated.enter(ping_rules(net)[1], None)
    assert isolated.sends("backend", pong(net.backend, net.frontend)).status == CtStatus.REPLY
    assert not isolated.sends("backend", pong(net.backend, net.frontend)).passed
    isolated.allow(ping_rules(net)[1])
    assert isolated.sends("backend", pong(net.backend, net.frontend)).passed


def test_an_unsolicited_echo_reply_is_judged_by_its_own_type(isolated: Host, net: Network) -> None:
    """A reply that nobody asked for needs a rule for its own type, and opens nothing."""
    reply = net.ping_types[1]
    assert isolated.sends("backend", pong(net.backend, net.frontend)).reason == Reason.POLICY_DENIED
    rules = (
        isolated.allow(key(BACKEND, Direction.EGRESS, FRONTEND, protocol=net.ping_protocol, port=reply)),
        isolated.allow(key(FRONTEND, Direction.INGRESS, BACKEND, protocol=net.ping_protocol, port=reply)),
    )
    outcome = isolated.sends("backend", pong(net.backend, net.frontend))
    assert (outcome.passed, outcome.rules) == (True, rules)
    assert not isolated.connections(net.family)


# --- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packets", "seconds"),
    [
        ([udp], 60),
        ([tcp], 60),
        ([tcp, lambda a, b: tcp_reply(b, a)], 8000),
        ([tcp, lambda a, b: tcp(a, b, "FA")], 10),
        ([tcp, lambda a, b: tcp_reply(b, a, "RA")], 10),
        ([lambda a, b: tcp(a, b, "A")], 8000),
    ],
    ids=["any", "syn", "established", "fin", "rst", "recreated"],
)
def test_a_connection_is_forgotten_after_its_time(host: Host, net: Network, packets: list[Pair], seconds: int) -> None:
    """A connection without packets lives for the time of its state, and not longer."""
    last = udp if packets == [udp] else lambda a, b: tcp(a, b, "A")
    for make in packets:
        packet = make(net.frontend, net.backend)
        host.sends("frontend" if packet.src == net.frontend else "backend", packet)
    host.let_pass(seconds - 1)
    assert len(host.sends("frontend", last(net.frontend, net.backend)).events) == 0
    host.let_pass(seconds + 1)
    assert host.sends("frontend", last(net.frontend, net.backend)).status == CtStatus.NEW


def test_a_forgotten_connection_has_no_replies(host: Host, net: Network) -> None:
    """After its time the answer to a packet is judged as a packet of its own."""
    host.isolate("frontend", Direction.INGRESS)
    host.sends("frontend", udp(net.frontend, net.backend))
    host.let_pass(61)
    assert not host.sends("backend", answered(udp(net.backend, net.frontend))).passed


def test_a_packet_by_the_cached_verdict_keeps_a_connection_alive(host: Host, net: Network) -> None:
    """Every packet of a connection starts its time anew, in either direction."""
    host.sends("frontend", udp(net.frontend, net.backend))
    for _ in range(3):
        host.let_pass(50)
        assert len(host.sends("backend", answered(udp(net.backend, net.frontend))).events) == 0


def test_timeouts_are_knobs() -> None:
    """The loader's settings say how long connections live, and how fast time runs."""
    with load({"ct_timeout_any": 2, "jiffies_per_second": 500}, SMALL) as loaded:
        host = Host(loaded)
        host.add("frontend", FRONTEND, "10.0.0.1")
        packet = udp("10.0.0.1", "192.0.2.1")
        host.sends("frontend", packet)
        host.let_pass(3.9)  # by the default rate, which is half of this one
        assert len(host.sends("frontend", packet).events) == 0
        host.let_pass(4.1)
        assert host.sends("frontend", packet).status == CtStatus.NEW


# --- a destination that the stack rewrites ------------------------------------------------------------------------


def test_ingress_is_judged_alone_where_egress_was_judged_by_another_tuple(open_to_client: Host, net: Network) -> None:
    """A packet from a source's hook whose destination was rewritten is judged for ingress only."""
    open_to_client.enter(FROM_CLIENT, None)
    toward = open_to_client.gets("backend", tcp(net.frontend, net.backend), mark=0x5F000000)
    rule = open_to_client.committer.rule_numbers()[TO_SERVER]
    assert (toward.passed, toward.rules) == (True, (0, rule))
    entry = open_to_client.connection(net.family)
    assert int(entry["verdict"]) & CtFlag.INGRESS_ONLY
    assert int(entry["endpoints"]) & 0xFFFF == 0
    assert open_to_client.gets("backend", tcp(net.frontend, net.backend, "A"), mark=0x5F000000).passed


@pytest.mark.parametrize("judged_again", [False, True], ids=["cached", "judged again"])
def test_a_reply_of_a_rewritten_connection_goes_to_the_stack(host: Host, net: Network, *, judged_again: bool) -> None:
    """Only the stack can write the service's address back: such a reply is never delivered past it."""
    host.gets("backend", tcp(net.frontend, net.backend), mark=0x5F000000)
    if judged_again:
        host.known({"198.51.100.0/24": Peer(WORLD, 0, 0)})
    reply = host.sends("backend", tcp_reply(net.backend, net.frontend))
    assert (EventKind.VERDICT in reply.events["kind"]) == judged_again
    assert (reply.run.retval, reply.mark) == (0xFFFFFFFF, 0x5F000000)


def test_ingress_alone_is_revoked_too(open_to_client: Host, net: Network) -> None:
    """A revoked ingress rule stops a connection whose destination was rewritten, in both directions."""
    open_to_client.gets("backend", tcp(net.frontend, net.backend), mark=0x5F000000)
    open_to_client.enter(TO_SERVER, None)
    open_to_client.enter(FROM_CLIENT, None)
    assert not open_to_client.gets("backend", tcp(net.frontend, net.backend, "A"), mark=0x5F000000).passed
    assert not open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "A")).passed
    open_to_client.allow(TO_SERVER)
    assert open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "A")).passed


# --- counters, interfaces, events ---------------------------------------------------------------------------------


def test_an_entry_counts_both_directions(host: Host, net: Network) -> None:
    """Packets and bytes of a connection are counted apart for each direction, with the flags that were seen."""
    opened(host, net)
    host.known({"198.51.100.0/24": Peer(WORLD, 0, 0)})  # judged again, and still counted on
    host.sends("backend", tcp_reply(net.backend, net.frontend, "A"))
    entry = host.connection(net.family)
    length = 40 if net.family == 4 else 60
    assert entry["packets"].tolist() == [2, 2]
    assert entry["bytes"].tolist() == [2 * length, 2 * length]
    assert entry["tcp_flags"].tolist() == [0x12, 0x12]
    assert entry["state"] == CtState.REPLIED


def test_an_entry_that_other_rules_allow_keeps_its_history(open_to_client: Host, net: Network) -> None:
    """A connection that is judged again by another entry is the same connection: its counts, flags and state stay."""
    opened(open_to_client, net)
    created = open_to_client.connection(net.family)["created"]
    open_to_client.deny(TO_SERVER)
    broad = key(BACKEND, Direction.INGRESS, FRONTEND)
    open_to_client.enter(broad, RuleRow(9, Verdict.ALLOW, Reason.FORWARDED))
    assert open_to_client.sends("backend", tcp_reply(net.backend, net.frontend, "A")).passed
    entry = open_to_client.connection(net.family)
    assert entry["ingress_record"] == open_to_client.committer.policy.row_of[broad]
    assert (entry["packets"].tolist(), entry["tcp_flags"].tolist()) == ([2, 2], [0x12, 0x12])
    assert (entry["created"], entry["state"]) == (created, CtState.REPLIED)


def test_a_packet_of_a_connection_at_a_third_interface_is_spoofed(host: Host, net: Network) -> None:
    """Neither side's packets are taken from an interface that is not its own, though the connection is allowed."""
    host.add("stranger", 302, net.stranger)
    opened(host, net)
    for packet in (tcp(net.frontend, net.backend, "A"), tcp_reply(net.backend, net.frontend, "A")):
        outcome = host.sends("stranger", packet)
        assert outcome.reason == Reason.INVALID_SOURCE
        assert outcome.event["ifindex"] == 1


def test_a_packet_of_a_connection_forged_from_outside_is_spoofed(host: Host, net: Network) -> None:
    """A segment that claims to be of a local connection, but comes from the stack unmarked, is dropped."""
    opened(host, net)
    outcome = host.gets("backend", tcp(net.frontend, net.backend, "A"))
    assert outcome.reason == Reason.INVALID_SOURCE


def test_every_packet_writes_an_event_where_that_is_asked_for(open_to_client: Host, net: Network) -> None:
    """Without aggregation each packet, also one by the cached verdict, names its ends and both rules."""
    open_to_client.every_packet_writes_an_event()
    rules = tuple(open_to_client.committer.rule_numbers()[each] for each in (FROM_CLIENT, TO_SERVER))
    seen = [
        open_to_client.sends("frontend", tcp(net.frontend, net.backend)),
        open_to_client.sends("backend", tcp_reply(net.backend, net.frontend)),
        open_to_client.sends("frontend", tcp(net.frontend, net.backend, "A")),
    ]
    assert [each.rules for each in seen] == [rules] * 3
    assert [each.status for each in seen] == [CtStatus.NEW, CtStatus.REPLY, CtStatus.ESTABLISHED]
    assert [int(each.event["source_identity"]) for each in seen] == [FRONTEND, BACKEND, FRONTEND]
    assert [int(each.event["source_endpoint"]) for each in seen] == [1, 2, 1]
    assert [int(each.event["destination_port"]) for each in seen] == [SERVER_PORT, CLIENT_PORT, SERVER_PORT]
    assert {int(each.event["revision"]) for each in seen} == {open_to_client.committer.revision}
