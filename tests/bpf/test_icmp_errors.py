"""ICMP errors: one that quotes an allowed connection's packet shares its verdict, any other is judged by its type."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6PacketTooBig, ICMPv6ParamProblem, ICMPv6TimeExceeded
from scapy.packet import Packet, Raw

from ringfence.abi import CtStatus, Direction, Reason
from ringfence.policy.mapstate import PolicyKey
from tests.bpf.conftest import BACKEND, FRONTEND, STRANGER
from tests.bpf.host import Host, ip, key
from tests.bpf.packets import SERVER_PORT, Network, fragments, ping, pong, sctp, tcp, tcp_reply, udp, unreachable

REDIRECTED = 0x5F000000
TO_SERVER = key(BACKEND, Direction.INGRESS, FRONTEND, protocol=6, port=SERVER_PORT)
FROM_CLIENT = key(FRONTEND, Direction.EGRESS, BACKEND, protocol=6, port=SERVER_PORT)


@pytest.fixture(autouse=True)
def isolated(host: Host) -> None:
    """Both isolated in both directions; what the client opens to the server is allowed."""
    for name in ("frontend", "backend"):
        for direction in Direction:
            host.isolate(name, direction)
    host.allow(FROM_CLIENT)
    host.allow(TO_SERVER)


def rules(host: Host, *entries: PolicyKey) -> tuple[int, ...]:
    numbers = host.committer.rule_numbers()
    return tuple(numbers[each] for each in entries)


def test_an_error_of_an_allowed_connection_passes(host: Host, net: Network) -> None:
    """The server may say that its port is closed: the error names the connection's rules and ends as it travels."""
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    outcome = host.sends("backend", unreachable(net.backend, net.frontend, request))
    assert (outcome.passed, outcome.status) == (True, CtStatus.RELATED)
    assert outcome.rules == rules(host, FROM_CLIENT, TO_SERVER)
    event = outcome.event
    assert (event["source_identity"], event["destination_identity"]) == (BACKEND, FRONTEND)
    assert (event["protocol"], event["icmp_type"]) == (net.ping_protocol, 3 if net.family == 4 else 1)


def test_an_error_about_a_reply_passes(host: Host, net: Network) -> None:
    """The client may complain of what the server answered."""
    host.sends("frontend", tcp(net.frontend, net.backend))
    reply = tcp_reply(net.backend, net.frontend)
    host.sends("backend", reply)
    outcome = host.sends("frontend", unreachable(net.frontend, net.backend, reply))
    assert (outcome.passed, outcome.status) == (True, CtStatus.RELATED)
    assert outcome.rules == rules(host, FROM_CLIENT, TO_SERVER)


def test_an_error_keeps_no_connection_alive(host: Host, net: Network) -> None:
    """An error is no packet of the connection it quotes: it is not counted there."""
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    host.sends("backend", unreachable(net.backend, net.frontend, request))
    entry = host.connection(net.family)
    assert entry["packets"].tolist() == [1, 0]
    assert entry["state"] == 0


@pytest.mark.parametrize("make", [udp, sctp, ping])
def test_an_error_of_any_protocol_passes(host: Host, net: Network, make: object) -> None:
    """Errors about UDP, SCTP and echo requests belong to their connections too."""
    assert callable(make)
    request: Packet = make(net.frontend, net.backend)
    host.allow(key(FRONTEND, Direction.EGRESS))
    host.allow(key(BACKEND, Direction.INGRESS))
    assert host.sends("frontend", request).passed
    assert host.sends("backend", unreachable(net.backend, net.frontend, request)).status == CtStatus.RELATED


def test_an_error_that_quotes_no_connection_is_judged_by_its_type(host: Host, net: Network) -> None:
    """An error about a packet that was never let through is denied, unless a rule allows its own type."""
    error = unreachable(net.backend, net.frontend, tcp(net.frontend, net.backend))
    outcome = host.sends("backend", error)
    assert (outcome.reason, outcome.status) == (Reason.POLICY_DENIED, CtStatus.NEW)
    number = 3 if net.family == 4 else 1
    out = host.allow(key(BACKEND, Direction.EGRESS, FRONTEND, protocol=net.ping_protocol, port=number))
    into = host.allow(key(FRONTEND, Direction.INGRESS, BACKEND, protocol=net.ping_protocol, port=number))
    outcome = host.sends("backend", error)
    assert (outcome.passed, outcome.status, outcome.rules) == (True, CtStatus.NEW, (out, into))
    assert not host.connections(net.family)


@pytest.mark.parametrize("different", ["port", "protocol", "target"])
def test_an_error_has_to_quote_the_connection_itself(host: Host, net: Network, different: str) -> None:
    """Another port, protocol or target is another connection."""
    host.sends("frontend", tcp(net.frontend, net.backend))
    quoted = {
        "port": tcp(net.frontend, net.backend, dport=SERVER_PORT + 1),
        "protocol": udp(net.frontend, net.backend, dport=SERVER_PORT),
        "target": tcp(net.frontend, net.outside),
    }[different]
    assert host.sends("backend", unreachable(net.backend, net.frontend, quoted)).reason == Reason.POLICY_DENIED


def test_a_third_endpoint_cannot_forge_an_error(host: Host, net: Network) -> None:
    """An endpoint can only complain of what was sent to itself."""
    host.add("stranger", STRANGER, net.stranger)
    host.isolate("stranger", Direction.EGRESS)
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    outcome = host.sends("stranger", unreachable(net.stranger, net.frontend, request))
    assert (outcome.reason, outcome.event["direction"]) == (Reason.POLICY_DENIED, Direction.EGRESS)
    forged = host.sends("stranger", unreachable(net.backend, net.frontend, request))
    assert forged.reason == Reason.INVALID_SOURCE


def test_an_error_is_for_the_sender_of_what_it_quotes(host: Host, net: Network) -> None:
    """An error that quotes a packet of another than whom it goes to is judged by its type."""
    host.sends("frontend", tcp(net.frontend, net.backend))
    reply = tcp_reply(net.backend, net.frontend)
    outcome = host.sends("backend", unreachable(net.backend, net.frontend, reply))
    assert outcome.reason == Reason.POLICY_DENIED


def test_an_error_about_one_cannot_be_sent_to_another(host: Host, net: Network) -> None:
    """What a server complains of to its client it cannot send to a third, nor a router to whom it does not concern."""
    host.add("stranger", STRANGER, net.stranger)
    host.isolate("stranger", Direction.INGRESS)
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    assert host.sends("backend", unreachable(net.backend, net.stranger, request)).status == CtStatus.NEW
    host.allow(key(FRONTEND, Direction.EGRESS, 2))
    to_world = tcp(net.frontend, net.outside)
    assert host.sends("frontend", to_world).passed
    outcome = host.gets("stranger", unreachable(net.outside, net.stranger, to_world))
    assert (outcome.reason, outcome.status) == (Reason.POLICY_DENIED, CtStatus.NEW)


def test_a_router_outside_may_report_about_a_connection(host: Host, net: Network) -> None:
    """Any router on the way may answer what an endpoint sent to the world; not what it did not send."""
    host.allow(key(FRONTEND, Direction.EGRESS, 2, protocol=6, port=SERVER_PORT))
    request = tcp(net.frontend, net.outside)
    router = "203.0.113.1" if net.family == 4 else "2001:db8:ffff::1"
    assert not host.gets("frontend", unreachable(router, net.frontend, request)).passed
    assert host.sends("frontend", request).passed
    outcome = host.gets("frontend", unreachable(router, net.frontend, request))
    assert (outcome.passed, outcome.status) == (True, CtStatus.RELATED)
    assert host.gets("frontend", unreachable(net.outside, net.frontend, request)).passed


def test_an_error_after_the_rule_was_revoked_is_denied(host: Host, net: Network) -> None:
    """An error of a connection that is no longer allowed is denied by the rule that denies the connection."""
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    host.enter(TO_SERVER, None)
    outcome = host.sends("backend", unreachable(net.backend, net.frontend, request))
    default = rules(host, FROM_CLIENT, key(BACKEND, Direction.INGRESS))
    assert (outcome.reason, outcome.status, outcome.rules) == (Reason.POLICY_DENIED, CtStatus.RELATED, default)
    host.allow(TO_SERVER)
    assert host.sends("backend", unreachable(net.backend, net.frontend, request)).passed


def too_big(net: Network, quoted: Packet) -> Packet:
    layer = ip(net.outside, net.frontend)
    error = ICMP(type=3, code=4, nexthopmtu=1280) if net.family == 4 else ICMPv6PacketTooBig(mtu=1280)
    return layer / error / Raw(bytes(quoted))


def time_exceeded(net: Network, quoted: Packet) -> Packet:
    return (
        ip(net.outside, net.frontend)
        / (ICMP(type=11) if net.family == 4 else ICMPv6TimeExceeded())
        / Raw(bytes(quoted))
    )


def parameter_problem(net: Network, quoted: Packet) -> Packet:
    return (
        ip(net.outside, net.frontend)
        / (ICMP(type=12) if net.family == 4 else ICMPv6ParamProblem())
        / Raw(bytes(quoted))
    )


@pytest.mark.parametrize("error", [too_big, time_exceeded, parameter_problem])
def test_every_kind_of_error_is_related(host: Host, net: Network, error: object) -> None:
    """Path MTU, traceroute and parameter problems belong to the connection they quote."""
    assert callable(error)
    host.allow(key(FRONTEND, Direction.EGRESS, 2))
    request = tcp(net.frontend, net.outside)
    host.sends("frontend", request)
    outcome = host.gets("frontend", error(net, request))
    assert (outcome.passed, outcome.status) == (True, CtStatus.RELATED)


@pytest.mark.parametrize("left", range(20))
def test_a_quoted_tcp_header_may_be_truncated(host: Host, net: Network, left: int) -> None:
    """Only the ports of a quoted segment are needed; an error that ends before them quotes nothing."""
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    header = 20 if net.family == 4 else 40
    outcome = host.sends("backend", unreachable(net.backend, net.frontend, bytes(request)[: header + left]))
    assert outcome.passed == (left >= 4)
    assert outcome.status == (CtStatus.RELATED if left >= 4 else CtStatus.NEW)


@pytest.mark.parametrize("left", [0, 1, 19, 39])
def test_a_quoted_ip_header_that_is_truncated_quotes_nothing(host: Host, net: Network, left: int) -> None:
    """An error without the header of what it is about is judged by its own type."""
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    quoted = bytes(request)[: min(left, 19 if net.family == 4 else 39)]
    assert host.sends("backend", unreachable(net.backend, net.frontend, quoted)).reason == Reason.POLICY_DENIED


def test_an_error_about_an_error_is_related_to_nothing(host: Host, net: Network) -> None:
    """What quotes another error belongs to no connection, though that one quotes a packet of one."""
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    inner = unreachable(net.frontend, net.backend, request)
    assert host.sends("backend", unreachable(net.backend, net.frontend, inner)).reason == Reason.POLICY_DENIED


def test_an_error_about_an_error_is_not_taken_for_one_about_an_echo(host: Host, net: Network) -> None:
    """A quoted error has no identifier: it is not the connection of an echo whose identifier is 0."""
    host.allow(key(FRONTEND, Direction.EGRESS))
    host.allow(key(BACKEND, Direction.INGRESS))
    assert host.sends("frontend", ping(net.frontend, net.backend, identifier=0)).passed
    inner = unreachable(net.frontend, net.backend, b"")
    assert host.sends("backend", unreachable(net.backend, net.frontend, inner)).status == CtStatus.NEW


def test_an_error_about_a_later_fragment_is_not_taken_for_one_about_port_zero(host: Host, net: Network) -> None:
    """A quoted later fragment has no ports: it is not the connection whose ports are 0."""
    host.allow(key(FRONTEND, Direction.EGRESS))
    host.allow(key(BACKEND, Direction.INGRESS))
    assert host.sends("frontend", udp(net.frontend, net.backend, sport=0, dport=0)).passed
    later = fragments(udp(net.frontend, net.backend))[1]
    assert host.sends("backend", unreachable(net.backend, net.frontend, later)).status == CtStatus.NEW


def test_an_error_about_a_later_fragment_is_related_is_related_to_nothing(host: Host, net: Network) -> None:
    """A later fragment that is quoted has no ports to find a connection by."""
    host.allow(key(FRONTEND, Direction.EGRESS))
    host.allow(key(BACKEND, Direction.INGRESS))
    first, later, _ = fragments(udp(net.frontend, net.backend))
    assert host.sends("frontend", first).passed
    assert host.sends("backend", unreachable(net.backend, net.frontend, first)).status == CtStatus.RELATED
    assert host.sends("backend", unreachable(net.backend, net.frontend, later)).reason == Reason.POLICY_DENIED


def test_an_error_about_a_forgotten_connection_is_judged_by_its_type(host: Host, net: Network) -> None:
    """Once a connection has expired nothing is related to it."""
    request = tcp(net.frontend, net.backend)
    host.sends("frontend", request)
    host.let_pass(61)
    assert host.sends("backend", unreachable(net.backend, net.frontend, request)).status == CtStatus.NEW


def test_an_error_about_an_echo_reply_is_related_to_the_echo(host: Host, net: Network) -> None:
    """Who asked may complain of the answer."""
    host.allow(key(FRONTEND, Direction.EGRESS))
    host.allow(key(BACKEND, Direction.INGRESS))
    host.sends("frontend", ping(net.frontend, net.backend))
    reply = pong(net.backend, net.frontend)
    assert host.sends("frontend", unreachable(net.frontend, net.backend, reply)).status == CtStatus.RELATED


def test_an_error_of_the_wrong_family_is_dropped(host: Host, net: Network) -> None:
    """ICMP inside IPv6 and ICMPv6 inside IPv4 are no packets of either."""
    packet = ip(net.backend, net.frontend)
    packet.setfieldval("proto" if net.family == 4 else "nh", 58 if net.family == 4 else 1)
    assert host.sends("backend", packet / Raw(bytes(48))).reason == Reason.INVALID_PACKET


def test_an_error_that_quotes_the_other_family_quotes_nothing(host: Host, net: Network) -> None:
    """An error quotes a packet of its own family."""
    other = tcp("fd00::1", "fd00::2") if net.family == 4 else tcp("10.0.0.1", "10.0.0.2")
    host.sends("frontend", other)
    assert host.sends("backend", unreachable(net.backend, net.frontend, other)).reason == Reason.POLICY_DENIED


def test_an_error_of_a_rewritten_connection_goes_to_the_stack(host: Host, net: Network) -> None:
    """Where the stack rewrote the destination it has to rewrite the error too: it is never delivered past it."""
    request = tcp(net.frontend, net.backend)
    host.gets("backend", request, mark=REDIRECTED)
    outcome = host.sends("backend", unreachable(net.backend, net.frontend, request))
    assert (outcome.run.retval, outcome.mark) == (0xFFFFFFFF, REDIRECTED)
    assert outcome.status == CtStatus.RELATED
