"""Source translation: endpoints are seen in the world by the node's address, and the answers find their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.packet import Packet

from ringfence.abi import Reason
from ringfence.datapath.snat import SnatTable
from tests.bpf.host import LOOPBACK, Host, ip
from tests.bpf.packets import Network, fragments, sctp, tcp, udp, unreachable
from tests.bpf.test_services import assert_checksums_hold, tuple_of

NODE = {4: "198.51.100.1", 6: "2001:db8:ffff::1"}
FIRST_PORT = 32768


@pytest.fixture
def table(host: Host) -> Iterator[SnatTable]:
    """The uplink is the interface that test runs are at."""
    found = SnatTable(host.loaded.maps)
    found.set_uplink(LOOPBACK, [ip_address(each) for each in NODE.values()])
    yield found
    found.forget(lambda _flow: True)
    found.exclude([])
    found.remove_uplink(LOOPBACK)


def out(host: Host, packet: Packet) -> tuple[str, int, str, int]:
    left = host.run("to_uplink", packet)
    assert left.passed
    assert_checksums_hold(left)
    return tuple_of(left)


def back(host: Host, packet: Packet) -> tuple[str, int, str, int]:
    came = host.run("from_uplink", packet)
    assert came.passed
    assert_checksums_hold(came)
    return tuple_of(came)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("make", [tcp, udp, sctp])
def test_a_flow_leaves_by_the_nodes_address_and_its_answers_come_back(
    host: Host, net: Network, make: Callable[..., Packet]
) -> None:
    """The port is kept while it is free."""
    node = NODE[net.family]
    assert out(host, make(net.frontend, net.outside, sport=4000, dport=80)) == (node, 4000, net.outside, 80)
    answer = make(net.outside, node, sport=80, dport=4000)
    assert back(host, answer) == (net.outside, 80, net.frontend, 4000)
    assert out(host, make(net.frontend, net.outside, sport=4000, dport=80)) == (node, 4000, net.outside, 80)


@pytest.mark.usefixtures("table")
def test_two_endpoints_with_one_port_are_told_apart(host: Host, net: Network) -> None:
    """The second is given another port, and each gets its own answers."""
    node = NODE[net.family]
    first = out(host, tcp(net.frontend, net.outside, sport=4000, dport=80))
    second = out(host, tcp(net.backend, net.outside, sport=4000, dport=80))
    assert first[1] == 4000
    assert second[1] >= FIRST_PORT
    assert back(host, tcp(net.outside, node, "SA", sport=80, dport=second[1]))[2:] == (net.backend, 4000)
    assert back(host, tcp(net.outside, node, "SA", sport=80, dport=4000))[2:] == (net.frontend, 4000)
    # Towards another destination the port is free.
    assert out(host, tcp(net.backend, net.outside, sport=4000, dport=81))[1] == 4000


@pytest.mark.usefixtures("table")
def test_no_endpoint_is_given_a_port_of_the_nodes_own(host: Host, net: Network) -> None:
    """The node's own connections keep their ports, and get their own answers."""
    node = NODE[net.family]
    assert out(host, tcp(node, net.outside, sport=4000, dport=80)) == (node, 4000, net.outside, 80)
    assert out(host, tcp(net.frontend, net.outside, sport=4000, dport=80))[1] >= FIRST_PORT
    assert back(host, tcp(net.outside, node, "SA", sport=80, dport=4000))[2:] == (node, 4000)


@pytest.mark.usefixtures("table")
def test_what_comes_for_nobody_is_left_alone(host: Host, net: Network) -> None:
    """A packet to the node itself, and one to an endpoint directly, are as they were."""
    node = NODE[net.family]
    assert back(host, tcp(net.outside, node, dport=22))[2:] == (node, 22)
    assert back(host, tcp(net.outside, net.frontend, dport=80))[2:] == (net.frontend, 80)


@pytest.mark.usefixtures("table")
def test_an_answer_of_an_endpoint_is_left_alone(host: Host, net: Network) -> None:
    """Who was asked by its own address answers by it."""
    host.gets("frontend", tcp(net.outside, net.frontend, sport=5000, dport=80))
    answer = tcp(net.frontend, net.outside, "SA", sport=80, dport=5000)
    assert host.sends("frontend", answer).passed
    assert out(host, answer) == (net.frontend, 80, net.outside, 5000)


def test_excluded_prefixes_and_workloads_elsewhere_see_the_endpoint_itself(
    host: Host, net: Network, table: SnatTable
) -> None:
    """So do workloads that are known by their address."""
    table.exclude([ip_network(net.outside), ip_network("10.99.0.0/16"), ip_network("fd99::/64")])
    assert out(host, tcp(net.frontend, net.outside))[0] == net.frontend
    table.exclude([])
    assert out(host, tcp(net.frontend, net.outside))[0] == NODE[net.family]
    assert out(host, tcp(net.frontend, net.backend))[0] == net.frontend


@pytest.mark.usefixtures("table")
def test_an_echo_is_told_by_its_identifier(host: Host, net: Network) -> None:
    """Two endpoints ping with one identifier, and each gets its own replies."""
    node = NODE[net.family]

    def echo(source: str, destination: str, number: int, *, reply: bool = False) -> Packet:
        if net.family == 4:
            return ip(source, destination) / ICMP(type=0 if reply else 8, id=number)
        return ip(source, destination) / (ICMPv6EchoReply(id=number) if reply else ICMPv6EchoRequest(id=number))

    def ends(outcome: Packet) -> tuple[str, str, int]:
        network = outcome[IP] if net.family == 4 else outcome[IPv6]
        layer = next(each for each in (ICMP, ICMPv6EchoRequest, ICMPv6EchoReply) if each in outcome)
        return network.src, network.dst, outcome[layer].id

    seen = {}
    for endpoint in (net.frontend, net.backend):
        left = host.run("to_uplink", echo(endpoint, net.outside, 77))
        assert left.passed
        source, _, seen[endpoint] = ends(left.packet)
        assert source == node
    assert seen[net.frontend] == 77
    assert seen[net.backend] != 77
    for endpoint, number in seen.items():
        came = host.run("from_uplink", echo(net.outside, node, number, reply=True))
        assert ends(came.packet) == (net.outside, endpoint, 77)


@pytest.mark.usefixtures("table")
def test_an_error_about_a_flow_comes_to_its_endpoint(host: Host, net: Network) -> None:
    """Outside and in what it quotes, the endpoint finds its own address and port."""
    node = NODE[net.family]
    _, port, _, _ = out(host, udp(net.frontend, net.outside, sport=4000, dport=53))
    quoted = udp(node, net.outside, sport=port, dport=53)
    router = "203.0.113.9" if net.family == 4 else "2001:db8:77::9"
    came = host.run("from_uplink", unreachable(router, node, quoted))
    assert came.passed
    layer = IP if net.family == 4 else IPv6
    outer = came.packet[layer]
    inner = layer(bytes(outer)[-len(bytes(quoted)) :])
    assert (outer.src, outer.dst) == (router, net.frontend)
    assert (inner.src, inner[UDP].sport, inner.dst, inner[UDP].dport) == (net.frontend, 4000, net.outside, 53)
    assert_checksums_hold(came)


@pytest.mark.usefixtures("table")
def test_an_endpoint_complains_by_the_nodes_address(host: Host, net: Network) -> None:
    """Of an answer that it does not want, in the words of the packet that the world sent."""
    node = NODE[net.family]
    out(host, udp(net.frontend, net.outside, sport=4000, dport=53))
    out(host, udp(net.backend, net.outside, sport=4000, dport=53))
    unwanted = udp(net.outside, net.frontend, sport=53, dport=4000)
    left = host.run("to_uplink", unreachable(net.frontend, net.outside, unwanted))
    assert left.passed
    layer = IP if net.family == 4 else IPv6
    outer = left.packet[layer]
    inner = layer(bytes(outer)[-len(bytes(unwanted)) :])
    assert (outer.src, outer.dst) == (node, net.outside)
    assert (inner.src, inner[UDP].sport, inner.dst, inner[UDP].dport) == (net.outside, 53, node, 4000)
    assert_checksums_hold(left)


@pytest.mark.usefixtures("table")
def test_fragments_follow_the_first(host: Host, net: Network) -> None:
    """All of a datagram has one source, and its answer's fragments one destination."""
    node = NODE[net.family]
    for piece in fragments(udp(net.frontend, net.outside, sport=4000, dport=53)):
        left = host.run("to_uplink", piece)
        assert left.passed
        layer = left.packet[IP] if net.family == 4 else left.packet[IPv6]
        assert layer.src == node
    for piece in fragments(udp(net.outside, node, sport=53, dport=4000)):
        came = host.run("from_uplink", piece)
        layer = came.packet[IP] if net.family == 4 else came.packet[IPv6]
        assert layer.dst == net.frontend


def test_where_no_port_is_free_the_packet_is_dropped_with_its_reason(
    host: Host, net: Network, table: SnatTable
) -> None:
    """All ports towards one destination are taken: the flow is refused and told."""
    node = NODE[net.family]
    ports = [4000, *range(FIRST_PORT, 65536)]
    keys = np.zeros(len(ports), host.loaded.maps["snat"].spec.key)
    for name, address in (("source", net.outside), ("destination", node)):
        packed = ip_address(address).packed
        keys[name][:, 16 - len(packed) :] = np.frombuffer(packed, np.uint8)
        if len(packed) == 4:
            keys[name][:, 10:12] = 255
    keys["source_port"], keys["destination_port"] = 80, ports
    keys["protocol"], keys["inward"] = 6, 1
    entries = np.zeros(len(ports), host.loaded.maps["snat"].spec.value)
    table.adopt(keys, entries)
    try:
        refused = host.run("to_uplink", tcp(net.frontend, net.outside, sport=4000, dport=80))
        assert not refused.passed
        assert refused.reason is Reason.NO_SNAT_PORT
    finally:
        host.loaded.maps["snat"].delete_batch(keys)


def test_flows_are_listed_and_forgotten(host: Host, net: Network, table: SnatTable) -> None:
    """A flow is known by what the endpoint sends; forgotten, its answers come to nobody."""
    node = NODE[net.family]
    out(host, tcp(net.frontend, net.outside, sport=4000, dport=80))
    [flow] = table.flows()
    assert (str(flow.source), flow.source_port, str(flow.seen), flow.seen_port) == (net.frontend, 4000, node, 4000)
    assert (str(flow.destination), flow.destination_port, flow.own) == (net.outside, 80, False)
    assert table.forget(lambda each: each.destination_port == 81) == 0
    assert table.forget(lambda each: each.destination_port == 80) == 1
    assert back(host, tcp(net.outside, node, "SA", sport=80, dport=4000))[2:] == (node, 4000)


def test_an_uplink_without_an_address_translates_nothing(host: Host, net: Network, table: SnatTable) -> None:
    """Of a family without an address, endpoints are seen as they are."""
    table.set_uplink(LOOPBACK, [])
    assert out(host, tcp(net.frontend, net.outside))[0] == net.frontend
