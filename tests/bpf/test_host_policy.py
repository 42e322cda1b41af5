"""The node as an endpoint: its own packets at an uplink are judged by policies for nodes, and no others are."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.packet import Packet

from ringfence.abi import CtStatus, Direction, Reason, Tier, Verdict
from ringfence.datapath.snat import SnatTable
from ringfence.engine.commands import Peer, RuleRow
from ringfence.identity.reserved import Reserved
from ringfence.policy.mapstate import PolicyKey
from tests.bpf.host import DEFAULT_PRECEDENCE, DROP, LOOPBACK, REDIRECT, Host, Outcome, key
from tests.bpf.packets import CLIENT_PORT, SERVER_PORT, Network, tcp, udp, unreachable
from tests.bpf.test_uplink_services import NODE, NODE_PORT

SSH = 22


@pytest.fixture
def node(host: Host, net: Network) -> Iterator[Host]:
    """A node with an address of its own, which policies for nodes select but do not isolate."""
    addresses = SnatTable(host.loaded.maps)
    addresses.set_uplink(LOOPBACK, [ip_address(each) for each in NODE.values()])
    host.known({NODE[net.family]: Peer(Reserved.HOST, 0, 0)})
    for direction in Direction:
        host.enter(default_of_the_node(direction), RuleRow(DEFAULT_PRECEDENCE, Verdict.ALLOW, Reason.FORWARDED))
    yield host
    addresses.forget(lambda _flow: True)
    addresses.remove_uplink(LOOPBACK)


def default_of_the_node(direction: Direction) -> PolicyKey:
    return key(Reserved.HOST, direction, tier=Tier.BASELINE)


def isolate(host: Host, direction: Direction) -> int:
    return host.enter(key(Reserved.HOST, direction), RuleRow(DEFAULT_PRECEDENCE, Verdict.DENY, Reason.POLICY_DENIED))


def allow(host: Host, direction: Direction, port: int) -> int:
    return host.allow(key(Reserved.HOST, direction, port=port, protocol=6))


def comes(host: Host, net: Network, flags: str = "S", dport: int = SSH) -> Outcome:
    return host.run("from_uplink", tcp(net.outside, NODE[net.family], flags, sport=CLIENT_PORT, dport=dport))


def leaves(host: Host, packet: Packet) -> Outcome:
    return host.run("to_uplink", packet)


def test_ingress_is_judged_with_the_rule_named(node: Host, net: Network) -> None:
    """Whoever no rule lets in is dropped; the drop says who, by which rule, and in which direction."""
    rule = isolate(node, Direction.INGRESS)
    denied = comes(node, net)
    assert denied.run.retval == DROP
    assert (denied.reason, denied.rules) == (Reason.POLICY_DENIED, (0, rule))
    assert denied.event["direction"] == Direction.INGRESS
    assert (denied.event["source_identity"], denied.event["destination_identity"]) == (Reserved.WORLD, Reserved.HOST)
    entry = key(Reserved.HOST, Direction.INGRESS)
    assert node.hits(entry)[0] == 1


def test_what_is_allowed_is_answered(node: Host, net: Network) -> None:
    """Replies pass though egress is isolated, and further packets without another event of judgement."""
    isolate(node, Direction.INGRESS)
    isolate(node, Direction.EGRESS)
    rule = allow(node, Direction.INGRESS, SSH)
    opened = comes(node, net)
    assert opened.passed
    assert opened.rules == (0, rule)
    answer = leaves(node, tcp(NODE[net.family], net.outside, "SA", sport=SSH, dport=CLIENT_PORT))
    assert answer.passed
    assert comes(node, net, "A").passed
    assert not comes(node, net, dport=80).passed


def test_egress_is_judged_and_its_replies_pass(node: Host, net: Network) -> None:
    """What the node opens passes by a rule, and what comes back needs none."""
    isolate(node, Direction.INGRESS)
    rule = isolate(node, Direction.EGRESS)
    own = NODE[net.family]
    denied = leaves(node, tcp(own, net.outside, sport=CLIENT_PORT, dport=80))
    assert (denied.run.retval, denied.reason, denied.rules) == (DROP, Reason.POLICY_DENIED, (rule, 0))
    assert denied.event["direction"] == Direction.EGRESS
    allow(node, Direction.EGRESS, 443)
    assert leaves(node, tcp(own, net.outside, sport=CLIENT_PORT, dport=443)).passed
    answer = node.run("from_uplink", tcp(net.outside, own, "SA", sport=443, dport=CLIENT_PORT))
    assert answer.passed


def test_a_change_of_policy_cuts_a_connection(node: Host, net: Network) -> None:
    """A connection is judged again by the next policy, and goes on should the rule come back."""
    allow(node, Direction.INGRESS, SSH)
    assert comes(node, net).passed
    isolate(node, Direction.INGRESS)
    assert comes(node, net, "A").passed
    node.enter(key(Reserved.HOST, Direction.INGRESS, port=SSH, protocol=6), None)
    assert not comes(node, net, "A").passed


def test_without_a_policy_nothing_is_judged(host: Host, net: Network) -> None:
    """A node that no policy selects has no events and no connections of its own."""
    host.known({NODE[net.family]: Peer(Reserved.HOST, 0, 0)})
    came = comes(host, net)
    assert came.passed
    assert len(came.events) == 0


def test_endpoints_are_none_of_the_nodes(node: Host, net: Network) -> None:
    """What is for an endpoint, or comes from one, passes an uplink of an isolated node as before."""
    isolate(node, Direction.INGRESS)
    isolate(node, Direction.EGRESS)
    assert node.run("from_uplink", tcp(net.outside, net.backend, dport=80)).passed
    left = leaves(node, tcp(net.backend, net.outside, sport=CLIENT_PORT, dport=80))
    assert left.passed
    back = node.run("from_uplink", tcp(net.outside, NODE[net.family], "SA", sport=80, dport=CLIENT_PORT))
    assert back.passed


def test_what_others_translated_is_not_the_nodes(node: Host, net: Network) -> None:
    """Forwarded packets with the node's address (masquerading) are not judged as its own, nor are their answers."""
    isolate(node, Direction.INGRESS)
    isolate(node, Direction.EGRESS)
    packet = udp(NODE[net.family], net.outside, sport=40000, dport=53)
    assert not leaves(node, packet).passed
    assert node.run("to_uplink", packet, ingress_ifindex=7).passed
    assert node.run("from_uplink", udp(net.outside, NODE[net.family], sport=53, dport=40000)).passed


def test_a_node_port_is_its_backends(node: Host, net: Network) -> None:
    """A service's connections are judged at the backend, not as the node's."""
    isolate(node, Direction.INGRESS)
    node.serve(NODE[net.family], NODE_PORT, (net.backend, SERVER_PORT))
    came = node.run("from_uplink", tcp(net.outside, NODE[net.family], dport=NODE_PORT))
    assert came.run.retval == REDIRECT


def test_an_error_about_the_nodes_connection_passes(node: Host, net: Network) -> None:
    """An ICMP error shares the verdict of the connection it quotes; one about nothing is denied."""
    isolate(node, Direction.INGRESS)
    isolate(node, Direction.EGRESS)
    allow(node, Direction.EGRESS, 443)
    own = NODE[net.family]
    router = "203.0.113.9" if net.family == 4 else "2001:db8:77::9"
    opened = tcp(own, net.outside, sport=CLIENT_PORT, dport=443)
    assert leaves(node, opened).passed
    related = node.run("from_uplink", unreachable(router, own, opened))
    assert related.passed
    assert related.status is CtStatus.RELATED
    stranger = tcp(own, net.outside, sport=CLIENT_PORT, dport=444)
    assert not node.run("from_uplink", unreachable(router, own, stranger)).passed
