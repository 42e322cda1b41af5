"""Services as the world sees them: a packet that comes in by an uplink is led to a backend, and policy judges that."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from ringfence.abi import Direction, Reason
from ringfence.datapath.snat import SnatTable
from tests.bpf.host import LOOPBACK, REDIRECT, Host
from tests.bpf.packets import CLIENT_PORT, SERVER_PORT, Network, tcp, udp, unreachable
from tests.bpf.test_services import assert_checksums_hold, tuple_of

NODE = {4: "198.51.100.1", 6: "2001:db8:ffff::1"}
ELSEWHERE = {4: "10.9.0.9", 6: "fd09::9"}
NODE_PORT = 30080


@pytest.fixture
def uplink(host: Host) -> Iterator[SnatTable]:
    found = SnatTable(host.loaded.maps)
    found.set_uplink(LOOPBACK, [ip_address(each) for each in NODE.values()])
    yield found
    found.forget(lambda _flow: True)
    found.remove_uplink(LOOPBACK)


@pytest.fixture
def served(host: Host, net: Network, uplink: SnatTable) -> Host:
    """A node port with the backend behind it."""
    del uplink
    host.serve(NODE[net.family], NODE_PORT, (net.backend, SERVER_PORT))
    return host


def test_a_client_from_outside_comes_to_the_backend_and_is_answered_by_the_node(served: Host, net: Network) -> None:
    """The backend sees the client's own address; the client sees the node's address and port alone."""
    node = NODE[net.family]
    came = served.run("from_uplink", tcp(net.outside, node, dport=NODE_PORT))
    assert came.run.retval == REDIRECT
    assert tuple_of(came) == (net.outside, CLIENT_PORT, net.backend, SERVER_PORT)
    assert_checksums_hold(came)
    assert came.event["service"] == 1
    answer = served.sends("backend", tcp(net.backend, net.outside, "SA", sport=SERVER_PORT, dport=CLIENT_PORT))
    # With the node's own address the stack would not take it from an endpoint.
    assert tuple_of(answer) == (net.backend, SERVER_PORT, net.outside, CLIENT_PORT)
    left = served.run("to_uplink", answer.packet)
    assert tuple_of(left) == (node, NODE_PORT, net.outside, CLIENT_PORT)
    assert_checksums_hold(left)
    again = served.run("from_uplink", tcp(net.outside, node, "A", dport=NODE_PORT))
    assert tuple_of(again) == (net.outside, CLIENT_PORT, net.backend, SERVER_PORT)
    assert again.run.retval == REDIRECT


def test_policy_judges_the_backend(served: Host, net: Network) -> None:
    """An isolated backend is not reached by its node port either, and the drop says who and by which service."""
    served.isolate("backend", Direction.INGRESS)
    refused = served.run("from_uplink", tcp(net.outside, NODE[net.family], dport=NODE_PORT))
    assert not refused.passed
    assert refused.reason is Reason.POLICY_DENIED
    assert (refused.event["destination_port"], refused.event["service"]) == (SERVER_PORT, 1)


def test_what_is_for_no_service_is_the_stacks(served: Host, net: Network) -> None:
    """The node's own ports, and endpoints that are asked directly, are left to whoever judges there."""
    for packet in (tcp(net.outside, NODE[net.family], dport=22), tcp(net.outside, net.backend, dport=80)):
        came = served.run("from_uplink", packet)
        assert came.passed
        assert came.run.retval != REDIRECT
        assert len(came.events) == 0


def test_an_address_inside_is_not_reached_from_outside(served: Host, net: Network) -> None:
    """A virtual address is for workloads and the node alone."""
    virtual = "10.96.0.10" if net.family == 4 else "fd96::10"
    served.serve(virtual, 80, (net.backend, SERVER_PORT), inside=True)
    refused = served.run("from_uplink", tcp(net.outside, virtual, dport=80))
    assert not refused.passed
    assert refused.reason is Reason.CLUSTER_ADDRESS


def test_a_forged_source_is_refused(served: Host, net: Network) -> None:
    """Nobody from outside asks by the address of an endpoint of this host."""
    refused = served.run("from_uplink", tcp(net.frontend, NODE[net.family], dport=NODE_PORT))
    assert not refused.passed
    assert refused.reason is Reason.INVALID_SOURCE


def test_a_backend_elsewhere_answers_by_way_of_this_node(host: Host, net: Network, uplink: SnatTable) -> None:
    """It sees the node as its client, and its answers become the node port's."""
    del uplink
    node, backend = NODE[net.family], ELSEWHERE[net.family]
    host.serve(node, NODE_PORT, (backend, SERVER_PORT), protocol=17)
    came = host.run("from_uplink", udp(net.outside, node, sport=CLIENT_PORT, dport=NODE_PORT))
    assert tuple_of(came) == (net.outside, CLIENT_PORT, backend, SERVER_PORT)
    left = host.run("to_uplink", came.packet)
    assert tuple_of(left) == (node, CLIENT_PORT, backend, SERVER_PORT)
    assert_checksums_hold(left)
    answer = host.run("from_uplink", udp(backend, node, sport=SERVER_PORT, dport=CLIENT_PORT))
    assert tuple_of(answer) == (backend, SERVER_PORT, net.outside, CLIENT_PORT)
    assert_checksums_hold(answer)
    gone = host.run("to_uplink", answer.packet)
    assert tuple_of(gone) == (node, NODE_PORT, net.outside, CLIENT_PORT)
    assert_checksums_hold(gone)


def test_an_error_about_an_answer_comes_to_the_backend(served: Host, net: Network) -> None:
    """So it learns of a path that takes smaller packets only: outside and in the quotation its own address stands."""
    node = NODE[net.family]
    served.run("from_uplink", tcp(net.outside, node, dport=NODE_PORT))
    quoted = tcp(node, net.outside, "A", sport=NODE_PORT, dport=CLIENT_PORT)
    router = "203.0.113.9" if net.family == 4 else "2001:db8:77::9"
    came = served.run("from_uplink", unreachable(router, node, quoted))
    assert came.run.retval == REDIRECT
    layer = IP if net.family == 4 else IPv6
    outer = came.packet[layer]
    inner = layer(bytes(outer)[-len(bytes(quoted)) :])
    assert (outer.src, outer.dst) == (router, net.backend)
    assert (inner.src, inner[TCP].sport, inner.dst, inner[TCP].dport) == (
        *(net.backend, SERVER_PORT),
        *(net.outside, CLIENT_PORT),
    )


@pytest.mark.parametrize("who", ["backend", "node"])
def test_an_error_about_a_clients_packet_leaves_as_the_services(served: Host, net: Network, who: str) -> None:
    """The client knows the node and its port only: of those an error speaks, whether the backend sends it or the node
    that leads there. At the backend's hook it is left as it is, for the stack takes no packet of the node from an
    endpoint.
    """
    layer, node = IP if net.family == 4 else IPv6, NODE[net.family]
    quoted = served.run("from_uplink", tcp(net.outside, node, dport=NODE_PORT)).packet[layer]
    error = unreachable(net.backend if who == "backend" else node, net.outside, quoted)
    if who == "backend":
        sent = served.sends("backend", error)
        assert sent.passed
        assert sent.run.retval != REDIRECT
        assert bytes(sent.packet[layer]) == bytes(error)
    left = served.run("to_uplink", error)
    outer = left.packet[layer]
    inner = layer(bytes(outer)[-len(bytes(quoted)) :])
    assert (outer.src, outer.dst) == (node, net.outside)
    assert (inner.src, inner[TCP].sport, inner.dst, inner[TCP].dport) == (net.outside, CLIENT_PORT, node, NODE_PORT)
