from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from ringfence.errors import RingfenceError
from ringfence.lab import namespaces, probe, wiring
from ringfence.lab.attempt import Target
from ringfence.lab.echo import EchoServers, Service
from ringfence.lab.probe import Route
from ringfence.lab.wiring import Wire

EXTRA = f"rf-k{os.getpid()}-extra"
NODE = f"rf-k{os.getpid()}-wiring.node"
LEFT = Wire(f"rf-k{os.getpid()}-wiring.left", 1, (ip_address("10.9.0.1"), ip_address("fd00:9::1")))
RIGHT = Wire(f"rf-k{os.getpid()}-wiring.right", 300, (ip_address("10.9.0.2"), ip_address("fd00:9::2")))
TRAFFIC = [("TCP", 80), ("UDP", 53), ("ICMP", 0)]


@pytest.fixture(scope="module")
def wired() -> Iterator[None]:
    _remove()
    try:
        wiring.make_node(NODE, [ip_address("169.254.1.1"), ip_address("fd00:9::100")])
        for wire in (LEFT, RIGHT):
            wiring.connect(NODE, wire)
        yield
    finally:
        _remove()


def _remove() -> None:
    for name in namespaces.named(f"rf-k{os.getpid()}-wiring."):
        namespaces.remove(name)


def _route(source: str, wire: Wire, target: Target) -> Route:
    listener = Service(wire.namespace, target.protocol, target.port)
    return Route(source, target, () if target.protocol == "ICMP" else (listener,))


def _routes(source: str, wire: Wire) -> list[Route]:
    return [
        _route(source, wire, Target(address, protocol, port))
        for address in wire.addresses
        for protocol, port in TRAFFIC
    ]


@pytest.mark.usefixtures("wired")
def test_pods_reach_each_other_at_once() -> None:
    """TCP, UDP and ICMP get through between pods in both families, with the first packet, where nothing judges."""
    routes = _routes(LEFT.namespace, RIGHT) + _routes(RIGHT.namespace, LEFT)
    assert probe.run(routes, deadline=5.0) == [True] * len(routes)


@pytest.mark.usefixtures("wired")
def test_the_node_reaches_its_pods() -> None:
    """The node talks to its pods from its own addresses."""
    routes = [route for route in _routes(NODE, LEFT) if route.target.protocol != "ICMP"]
    assert probe.run(routes, deadline=5.0) == [True] * len(routes)


@pytest.mark.usefixtures("wired")
def test_silence_is_no_answer() -> None:
    """A probe to an address that nobody has does not get through, and does not fail either."""
    nobody = ip_address("10.9.0.99")
    routes = [_route(LEFT.namespace, RIGHT, Target(nobody, protocol, port)) for protocol, port in TRAFFIC]
    assert probe.run(routes, deadline=0.1) == [False] * len(routes)


@pytest.mark.usefixtures("wired")
def test_more_probes_than_sockets() -> None:
    """However many probes are asked for, their sockets are open in batches."""
    routes = _routes(LEFT.namespace, RIGHT)[:2] * probe.BATCH
    assert probe.run(routes, deadline=10.0) == [True] * len(routes)


@pytest.mark.usefixtures("wired")
def test_a_port_that_is_served_already_is_left_alone() -> None:
    """A server is started only where no other listens."""
    servers = EchoServers()
    assert servers.bind(Service(RIGHT.namespace, "TCP", 8080))
    assert not servers.bind(Service(RIGHT.namespace, "TCP", 8080))
    assert servers.bind(Service(LEFT.namespace, "TCP", 8080))
    servers.stop()
    servers.serve()


def test_a_namespace_is_left_whatever_happens_inside() -> None:
    """An error inside a namespace reaches the caller, who never left its own."""
    own = Path("/proc/self/ns/net").readlink()
    namespaces.remove(EXTRA)
    namespaces.create(EXTRA)
    try:
        assert namespaces.inside(EXTRA, lambda: Path("/proc/thread-self/ns/net").readlink()) != own
        with pytest.raises(ZeroDivisionError):
            namespaces.inside(EXTRA, lambda: 1 // 0)
        assert Path("/proc/thread-self/ns/net").readlink() == own
        with pytest.raises(RingfenceError, match="exists already"):
            namespaces.create(EXTRA)
    finally:
        namespaces.remove(EXTRA)
    assert EXTRA not in namespaces.named("rf-")
    with pytest.raises(RingfenceError, match="no network namespace"):
        namespaces.inside(EXTRA, lambda: None)
