"""The decision for one direction: which of all entries that match a packet wins, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.packet import Packet

from ringfence.abi import Direction, PeerKind, Reason, Tier, Verdict
from ringfence.engine.commands import Commit, Peer, RuleRow
from ringfence.policy.mapstate import PolicyKey
from tests.bpf.conftest import BACKEND, FRONTEND, STRANGER, WORLD
from tests.bpf.host import ALLOW_PRECEDENCE, DENY_PRECEDENCE, Host, Outcome, key
from tests.bpf.packets import Network, fragments, gre, icmp, ping, pong, sctp, tcp, udp

INGRESS = Direction.INGRESS
CLASS = 16777217
PASS_PRECEDENCE = 1
RANK = 1 << 8  # one step of policy priority or rule order
VERDICT_OF = {DENY_PRECEDENCE: Verdict.DENY, ALLOW_PRECEDENCE: Verdict.ALLOW, PASS_PRECEDENCE: Verdict.PASS}


def rule(precedence: int) -> RuleRow:
    """A rule of a precedence, whose last bits say its verdict."""
    verdict = VERDICT_OF[precedence % RANK]
    return RuleRow(precedence, verdict, Reason.POLICY_DENY_RULE if verdict == Verdict.DENY else Reason.FORWARDED)


def backend_key(peer: int | None = FRONTEND, **fields: Any) -> PolicyKey:
    """An entry of the backend's ingress."""
    return key(BACKEND, INGRESS, peer, **fields)


def request(host: Host, net: Network, *, port: int = 8080) -> Outcome:
    """A TCP connection of the frontend's to the backend. Each is new: conntrack forgets."""
    host.let_pass(10_000)
    return host.sends("frontend", tcp(net.frontend, net.backend, dport=port))


def deciding(outcome: Outcome) -> int:
    """The number of the ingress rule that decided."""
    return outcome.rules[1]


@pytest.fixture
def classed(host: Host) -> Host:
    """The frontend's addresses lie in a prefix that a policy names."""
    host.known({each: Peer(FRONTEND, CLASS, 1) for each in ("10.0.0.1", "fd00::1")})
    return host


# --- precedence within a tier -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (DENY_PRECEDENCE, ALLOW_PRECEDENCE),
        (ALLOW_PRECEDENCE, PASS_PRECEDENCE),
        (DENY_PRECEDENCE, PASS_PRECEDENCE),
        (RANK + PASS_PRECEDENCE, DENY_PRECEDENCE),
        (RANK + ALLOW_PRECEDENCE, DENY_PRECEDENCE),
        ((1 << 56) - RANK + ALLOW_PRECEDENCE, (1 << 56) - 2 * RANK + DENY_PRECEDENCE),
    ],
    ids=["deny-allow", "allow-pass", "deny-pass", "priority-pass", "priority-allow", "highest"],
)
@pytest.mark.parametrize("winner_is_broad", [True, False], ids=["broad", "narrow"])
def test_the_highest_precedence_of_a_tier_wins(
    host: Host, net: Network, winner: int, loser: int, *, winner_is_broad: bool
) -> None:
    """Priority, then rule order, then deny over allow over pass, however broad the entries are."""
    broad, narrow = backend_key(None), backend_key(protocol=6, port=8080)
    host.enter(narrow if winner_is_broad else broad, rule(loser))
    number = host.enter(broad if winner_is_broad else narrow, rule(winner))
    outcome = request(host, net)
    if rule(winner).verdict == Verdict.PASS:
        number = host.committer.rule_numbers()[backend_key(None, tier=Tier.BASELINE)]
    assert outcome.passed == (rule(winner).verdict != Verdict.DENY)
    assert deciding(outcome) == number


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        ({"protocol": 6, "port": 8080}, {"protocol": 6, "port": 8080, "bits": 15}),
        ({"protocol": 6, "port": 8080, "bits": 15}, {"protocol": 6, "port": 8064, "bits": 10}),
        ({"protocol": 6, "port": 8064, "bits": 10}, {"protocol": 6}),
        ({"protocol": 6}, {}),
    ],
    ids=["port", "range", "protocol", "any"],
)
def test_of_equal_precedence_the_longer_port_prefix_wins(
    host: Host, net: Network, longer: dict[str, int], shorter: dict[str, int]
) -> None:
    """The entry that says more of the port wins, though the other says more of the peer."""
    host.enter(backend_key(FRONTEND, **shorter), rule(DENY_PRECEDENCE))
    number = host.enter(backend_key(None, **longer), rule(DENY_PRECEDENCE))
    assert deciding(request(host, net)) == number


def test_of_equal_precedence_and_port_the_identity_wins_then_the_class(classed: Host, net: Network) -> None:
    """Identity over prefix class over any peer: taking one away brings the next."""
    anyone = classed.enter(backend_key(None), rule(ALLOW_PRECEDENCE))
    prefix = classed.enter(backend_key(CLASS, kind=PeerKind.PREFIX_CLASS), rule(ALLOW_PRECEDENCE))
    identity = classed.enter(backend_key(FRONTEND), rule(ALLOW_PRECEDENCE))
    assert deciding(request(classed, net)) == identity
    classed.enter(backend_key(FRONTEND), None)
    assert deciding(request(classed, net)) == prefix
    classed.enter(backend_key(CLASS, kind=PeerKind.PREFIX_CLASS), None)
    assert deciding(request(classed, net)) == anyone


def test_the_winner_does_not_depend_on_the_order_of_writing(host: Host, net: Network) -> None:
    """The same entries decide alike, in whatever order they were committed."""
    entries = {
        backend_key(None): rule(ALLOW_PRECEDENCE),
        backend_key(FRONTEND): rule(ALLOW_PRECEDENCE),
        backend_key(None, protocol=6, port=8080): rule(ALLOW_PRECEDENCE),
        backend_key(None, protocol=6): rule(DENY_PRECEDENCE),
    }
    for order in (list(entries), list(reversed(entries))):
        numbers = {entry: host.enter(entry, entries[entry]) for entry in order}
        assert deciding(request(host, net)) == numbers[backend_key(None, protocol=6)]
        for entry in order:
            host.enter(entry, None)


# --- tiers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [ALLOW_PRECEDENCE, DENY_PRECEDENCE], ids=["allow", "deny"])
def test_an_earlier_tier_decides(host: Host, net: Network, verdict: int) -> None:
    """What the admin tier allows or denies is final, whatever later tiers say and with whatever precedence."""
    other = DENY_PRECEDENCE if verdict == ALLOW_PRECEDENCE else ALLOW_PRECEDENCE
    number = host.enter(backend_key(None, tier=Tier.ADMIN), rule(verdict))
    host.enter(backend_key(protocol=6, port=8080), rule(9 * RANK + other))
    outcome = request(host, net)
    assert (outcome.passed, deciding(outcome)) == (verdict == ALLOW_PRECEDENCE, number)


def test_a_winning_pass_goes_on_to_the_next_tier(host: Host, net: Network) -> None:
    """A pass skips the rest of its tier, also what would deny there, and the next tier decides."""
    host.enter(backend_key(tier=Tier.ADMIN), rule(RANK + PASS_PRECEDENCE))
    host.enter(backend_key(None, tier=Tier.ADMIN), rule(DENY_PRECEDENCE))
    number = host.enter(backend_key(None), rule(DENY_PRECEDENCE))
    assert deciding(request(host, net)) == number
    host.enter(backend_key(None), None)
    default = host.committer.rule_numbers()[backend_key(None, tier=Tier.BASELINE)]
    assert deciding(request(host, net)) == default


def test_no_match_goes_on_to_the_next_tier(host: Host, net: Network) -> None:
    """A tier whose entries speak of others decides nothing."""
    host.enter(backend_key(STRANGER, tier=Tier.ADMIN), rule(DENY_PRECEDENCE))
    host.enter(backend_key(FRONTEND, protocol=17, tier=Tier.ADMIN), rule(DENY_PRECEDENCE))
    number = host.enter(backend_key(FRONTEND, protocol=6), rule(ALLOW_PRECEDENCE))
    assert deciding(request(host, net)) == number


def test_without_any_entry_a_packet_is_denied(host: Host, net: Network) -> None:
    """Where no entry matches, not even a default, the map state is incomplete: that is a drop with its own reason."""
    host.enter(backend_key(None, tier=Tier.BASELINE), None)
    outcome = request(host, net)
    assert (outcome.reason, outcome.rules[1]) == (Reason.NO_VERDICT, 0)
    assert outcome.event["direction"] == INGRESS


def test_a_pass_in_the_last_tier_decides_nothing(host: Host, net: Network) -> None:
    """A pass after which no tier comes is no permission."""
    host.enter(backend_key(tier=Tier.BASELINE), rule(PASS_PRECEDENCE))
    assert request(host, net).reason == Reason.NO_VERDICT


# --- what entries match -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "bits", "last"), [(8080, 16, 8080), (8080, 15, 8081), (8192, 3, 16383), (0, 1, 32767), (32768, 1, 65535)]
)
def test_a_port_prefix_matches_exactly_its_range(host: Host, net: Network, first: int, bits: int, last: int) -> None:
    """An entry for the first bits of a port matches all ports that have them, and no other."""
    host.isolate("backend", INGRESS)
    host.allow(backend_key(protocol=6, port=first, bits=bits))
    assert request(host, net, port=first).passed
    assert request(host, net, port=last).passed
    assert first == 0 or not request(host, net, port=first - 1).passed
    assert last == 65535 or not request(host, net, port=last + 1).passed


def test_port_zero_is_a_port(host: Host, net: Network) -> None:
    """An entry for port 0 matches port 0 and is no wildcard."""
    host.isolate("backend", INGRESS)
    host.allow(backend_key(protocol=6, port=0))
    assert request(host, net, port=0).passed
    assert not request(host, net, port=1).passed


@pytest.mark.parametrize(("make", "protocol"), [(tcp, 6), (udp, 17), (sctp, 132), (gre, 47)])
def test_a_protocol_without_port_matches_all_its_packets(host: Host, net: Network, make: object, protocol: int) -> None:
    """An entry for a protocol matches that one with any port or none, and no other protocol."""
    assert callable(make)
    packet: Packet = make(net.frontend, net.backend)
    host.isolate("backend", INGRESS)
    wrong = backend_key(protocol=17 if protocol != 17 else 6)
    host.allow(wrong)
    assert host.sends("frontend", packet).reason == Reason.POLICY_DENIED
    number = host.allow(backend_key(protocol=protocol))
    assert deciding(host.sends("frontend", packet)) == number


def test_a_protocol_without_ports_meets_no_port_rule(host: Host, net: Network) -> None:
    """GRE has no ports: an entry for one, even 0, does not match it; one for any protocol does."""
    host.isolate("backend", INGRESS)
    host.allow(backend_key(protocol=47, port=0))
    assert host.sends("frontend", gre(net.frontend, net.backend)).reason == Reason.POLICY_DENIED
    number = host.allow(backend_key())
    outcome = host.sends("frontend", gre(net.frontend, net.backend))
    assert (outcome.passed, deciding(outcome)) == (True, number)
    assert host.sends("backend", gre(net.backend, net.frontend)).passed


def test_a_port_rule_is_for_its_protocol_only(host: Host, net: Network) -> None:
    """53/UDP says nothing of 53/TCP and 53/SCTP."""
    host.isolate("backend", INGRESS)
    host.allow(backend_key(protocol=17, port=53))
    assert host.sends("frontend", udp(net.frontend, net.backend, dport=53)).passed
    assert not host.sends("frontend", tcp(net.frontend, net.backend, dport=53)).passed
    assert not host.sends("frontend", sctp(net.frontend, net.backend, dport=53)).passed


@pytest.mark.parametrize("number", [0, 3, 8, 13, 128, 129, 255])
def test_an_icmp_type_is_what_a_rule_names(host: Host, net: Network, number: int) -> None:
    """A rule for one type of ICMP matches that type, also type 0, and not its neighbour."""
    host.isolate("backend", INGRESS)
    chosen = host.allow(backend_key(protocol=net.ping_protocol, port=number))
    outcome = host.sends("frontend", icmp(net.frontend, net.backend, number))
    assert (outcome.passed, deciding(outcome)) == (True, chosen)
    assert outcome.event["icmp_type"] == number
    other = 160 if number == 255 else number ^ 1
    assert not host.sends("frontend", icmp(net.frontend, net.backend, other)).passed


def test_a_rule_for_echo_replies_allows_no_requests(host: Host, net: Network) -> None:
    """Type 0 of ICMP is a type and no wildcard."""
    host.isolate("backend", INGRESS)
    host.allow(backend_key(protocol=net.ping_protocol, port=net.ping_types[1]))
    assert host.sends("frontend", pong(net.frontend, net.backend)).passed
    assert not host.sends("frontend", ping(net.frontend, net.backend)).passed


def test_a_later_fragment_is_judged_by_the_ports_of_the_first(host: Host, net: Network) -> None:
    """A port rule matches all fragments of a datagram to that port."""
    host.isolate("backend", INGRESS)
    number = host.allow(backend_key(protocol=17, port=53))
    host.known({"198.51.100.0/24": Peer(WORLD, 0, 0)})
    for piece in fragments(udp(net.frontend, net.backend)):
        outcome = host.sends("frontend", piece)
        host.let_pass(10_000)
        assert (outcome.passed, deciding(outcome)) == (True, number)


# --- peers --------------------------------------------------------------------------------------------------------


def test_a_prefix_class_is_a_peer(host: Host, net: Network) -> None:
    """A rule for a prefix matches the addresses in its class, and none outside."""
    host.isolate("backend", INGRESS)
    number = host.allow(backend_key(CLASS, kind=PeerKind.PREFIX_CLASS))
    assert not host.gets("backend", tcp(net.outside, net.backend)).passed
    host.known({net.outside: Peer(CLASS, CLASS, 0)})
    outcome = host.gets("backend", tcp(net.outside, net.backend))
    assert (outcome.passed, deciding(outcome)) == (True, number)


def test_a_class_is_not_an_identity_of_the_same_number(host: Host, net: Network) -> None:
    """An entry for identity N does not match prefix class N, nor the other way round."""
    host.isolate("backend", INGRESS)
    host.allow(backend_key(CLASS))
    host.allow(backend_key(WORLD, kind=PeerKind.PREFIX_CLASS))
    host.known({net.outside: Peer(WORLD, CLASS, 0)})
    assert not host.gets("backend", tcp(net.outside, net.backend)).passed


def test_the_class_of_the_peer_counts_not_that_of_the_subject(host: Host, net: Network) -> None:
    """A rule for a prefix looks at the other end's address."""
    host.isolate("backend", INGRESS)
    host.known({net.backend: Peer(BACKEND, CLASS, 2)})
    host.allow(backend_key(CLASS, kind=PeerKind.PREFIX_CLASS))
    assert not request(host, net).passed


def test_directions_are_judged_apart(host: Host, net: Network) -> None:
    """An ingress entry says nothing of egress, and an egress entry nothing of ingress."""
    host.isolate("backend", INGRESS)
    host.allow(key(BACKEND, Direction.EGRESS, FRONTEND))
    host.allow(key(FRONTEND, INGRESS, BACKEND))
    assert not request(host, net).passed


# --- both directions ----------------------------------------------------------------------------------------------


def test_default_deny_and_default_allow_are_named(host: Host, net: Network) -> None:
    """There is no verdict without a rule: the event names the defaults like any other."""
    numbers = host.committer.rule_numbers()
    baseline = [key(FRONTEND, Direction.EGRESS, tier=Tier.BASELINE), backend_key(None, tier=Tier.BASELINE)]
    outcome = request(host, net)
    assert outcome.rules == tuple(numbers[each] for each in baseline)
    assert (outcome.event["verdict"], outcome.reason) == (Verdict.ALLOW, Reason.FORWARDED)
    default_deny = host.isolate("backend", INGRESS)
    outcome = request(host, net)
    assert outcome.rules == (numbers[baseline[0]], default_deny)
    assert (outcome.event["verdict"], outcome.reason) == (Verdict.DENY, Reason.POLICY_DENIED)
    assert outcome.event["direction"] == INGRESS


def test_ingress_is_not_judged_when_egress_denies(host: Host, net: Network) -> None:
    """What the sender may not send is denied by its egress, and the receiver's rules are not asked."""
    number = host.isolate("frontend", Direction.EGRESS)
    host.isolate("backend", INGRESS)
    outcome = request(host, net)
    assert (outcome.rules, outcome.event["direction"]) == ((number, 0), Direction.EGRESS)
    assert host.hits(backend_key(None)) == (0, 0)


def test_only_local_ends_are_judged(host: Host, net: Network) -> None:
    """Towards the world only egress is judged, from the world only ingress."""
    assert host.sends("frontend", tcp(net.frontend, net.outside)).rules[1] == 0
    assert host.gets("backend", tcp(net.outside, net.backend)).rules[0] == 0


def test_world_is_who_no_prefix_names(host: Host, net: Network) -> None:
    """A rule for the world's identity matches an address that the ipcache does not know."""
    host.isolate("backend", INGRESS)
    number = host.allow(backend_key(WORLD))
    outcome = host.gets("backend", tcp(net.outside, net.backend))
    assert (deciding(outcome), outcome.event["source_identity"]) == (number, WORLD)


def test_a_rule_of_many_entries_is_one_rule(host: Host, net: Network) -> None:
    """Entries that name one rule number are one rule to whoever reads the event."""
    entries = [backend_key(protocol=6, port=port) for port in (80, 81)]
    host.committer.commit(Commit(rules={77: rule(DENY_PRECEDENCE)}, policy=dict.fromkeys(entries, 77)))
    assert [deciding(request(host, net, port=port)) for port in (80, 81)] == [77, 77]
    assert [host.hits(entry)[0] for entry in entries] == [1, 1]
