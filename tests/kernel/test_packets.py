"""Datapath features with real packets: what workloads notice of policy, in both families and by every delivery."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

import pytest

from ringfence.abi import Delivery, Direction, PeerKind, Reason
from tests.bpf.host import key
from tests.kernel.pairs import BACK, FAMILIES, NODE, WORLD, Pair, address_of
from tests.kernel.world import NODE_ADDRESSES, Workload, open_socket

DELIVERIES = pytest.mark.parametrize("delivery", list(Delivery), ids=lambda each: each.name.lower())
TCP, UDP, SCTP = socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132
PORT = 8080
MTU = 1500
UDP_SEGMENT = 103  # linux/udp.h
#: More than the largest packet that segmentation offload makes of it.
MEGABYTE = os.urandom(1 << 20)


def listening(workload: Workload, family: int, port: int = PORT) -> socket.socket:
    """A TCP server of a workload."""
    server = workload.socket(socket.SOCK_STREAM, address_of(workload, family), port)
    server.listen()
    return server


def connected(pair: Pair, family: int, stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection from the frontend to the backend."""
    server = stack.enter_context(closing(listening(pair.back, family)))
    client = stack.enter_context(closing(pair.front.socket(socket.SOCK_STREAM, address_of(pair.front, family))))
    client.connect((address_of(pair.back, family), PORT))
    accepted, _ = server.accept()
    accepted.settimeout(2)
    return client, stack.enter_context(closing(accepted))


def read_all(source: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := source.recv(min(size, 65536))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def arrives(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether a byte that is sent now arrives within a moment."""
    sender.send(b"x")
    receiver.settimeout(0.3)
    try:
        return receiver.recv(1) == b"x"
    except TimeoutError:
        return False
    finally:
        receiver.settimeout(2)


@FAMILIES
@DELIVERIES
def test_a_large_transfer_arrives_whole(pair: Pair, family: int, delivery: Delivery) -> None:
    """A connection that both sides' rules allow carries a megabyte each way, unchanged, however it is delivered."""
    pair.allow(TCP, PORT)
    pair.deliver(delivery)
    with ExitStack() as stack:
        client, server = connected(pair, family, stack)
        for sender, receiver in ((client, server), (server, client)):
            sending = threading.Thread(target=sender.sendall, args=(MEGABYTE,))
            sending.start()
            received = read_all(receiver, len(MEGABYTE))
            sending.join()
            assert hashlib.sha256(received).digest() == hashlib.sha256(MEGABYTE).digest()


@FAMILIES
@DELIVERIES
def test_a_revoked_rule_stops_both_directions(pair: Pair, family: int, delivery: Delivery) -> None:
    """Once the rule is gone neither side's packets pass, and once it is back the same connection goes on."""
    _, entry = pair.allow(TCP, PORT)
    pair.deliver(delivery)
    with ExitStack() as stack:
        client, server = connected(pair, family, stack)
        assert arrives(client, server)
        assert arrives(server, client)
        pair.host.enter(entry, None)
        assert not arrives(client, server)
        assert not arrives(server, client)
        assert Reason.POLICY_DENIED in pair.reasons()
        pair.host.allow(entry)
        assert read_all(server, 1) == b"x"
        assert read_all(client, 1) == b"x"


@FAMILIES
@DELIVERIES
def test_fragments_follow_their_first(pair: Pair, family: int, delivery: Delivery) -> None:
    """A datagram in many fragments passes whole where its port is allowed, and none of it where it is not."""
    pair.allow(UDP, PORT)
    pair.deliver(delivery)
    question = os.urandom(20000)
    target = address_of(pair.back, family)
    with ExitStack() as stack:
        client = stack.enter_context(closing(pair.front.socket(address=address_of(pair.front, family))))
        allowed = stack.enter_context(closing(pair.back.socket(address=target, port=PORT)))
        denied = stack.enter_context(closing(pair.back.socket(address=target, port=PORT + 1)))
        client.sendto(question, (target, PORT + 1))
        client.sendto(question, (target, PORT))
        assert allowed.recv(65536) == question
        denied.settimeout(0)
        with pytest.raises(BlockingIOError):
            denied.recv(65536)
    assert Reason.POLICY_DENIED in pair.reasons()


@FAMILIES
@DELIVERIES
def test_the_error_for_an_allowed_packet_comes_back(pair: Pair, family: int, delivery: Delivery) -> None:
    """A closed port's ICMP error reaches the sender whose datagram was allowed, though no rule speaks of ICMP."""
    pair.allow(UDP, PORT)
    pair.deliver(delivery)
    with closing(pair.front.socket(address=address_of(pair.front, family))) as client:
        client.connect((address_of(pair.back, family), PORT))
        client.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(64)


@FAMILIES
@DELIVERIES
def test_a_packet_at_its_last_hop_is_answered_by_the_node(pair: Pair, family: int, delivery: Delivery) -> None:
    """With one hop left a packet is not delivered; the node says so, and that error passes to the sender."""
    pair.allow(UDP, PORT)
    pair.deliver(delivery)
    level, hops, errors = (
        (socket.IPPROTO_IP, socket.IP_TTL, 11) if family == 4 else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 25)
    )
    with closing(pair.front.socket(address=address_of(pair.front, family))) as client:
        client.setsockopt(level, hops, 1)
        client.setsockopt(level, errors, 1)  # IP_RECVERR, IPV6_RECVERR: have the error told
        client.connect((address_of(pair.back, family), PORT))
        client.send(b"too far")
        with pytest.raises(OSError, match="No route to host") as told:
            client.recv(64)
    assert told.value.errno == errno.EHOSTUNREACH


@FAMILIES
def test_sctp_is_judged_by_its_ports(pair: Pair, family: int) -> None:
    """An SCTP packet passes to the port that a rule allows and to no other."""
    pair.allow(SCTP, PORT)
    source, target = address_of(pair.front, family), address_of(pair.back, family)

    def raw(address: str) -> Callable[[], socket.socket]:
        kind = socket.AF_INET if family == 4 else socket.AF_INET6

        def make() -> socket.socket:
            made = socket.socket(kind, socket.SOCK_RAW, SCTP)
            made.bind((address, 0))
            made.settimeout(2)
            return made

        return make

    with closing(pair.front.run(raw(source))) as sender, closing(pair.back.run(raw(target))) as receiver:
        for port in (PORT + 1, PORT):
            sender.sendto(struct.pack("!HHII", 5000, port, 0, 0), (target, 0))
        packet = receiver.recv(256)
        assert struct.unpack("!HH", packet[-12:-8]) == (5000, PORT)
    assert Reason.POLICY_DENIED in pair.reasons()


@FAMILIES
def test_an_echo_is_answered_where_its_request_is_allowed(pair: Pair, family: int) -> None:
    """A rule for the echo request lets its reply through, and no request the other way."""
    request, protocol = (8, socket.IPPROTO_ICMP) if family == 4 else (128, socket.IPPROTO_ICMPV6)
    pair.allow(protocol, request)

    def ping(sender: Workload, receiver: Workload) -> bool:
        kind = socket.AF_INET if family == 4 else socket.AF_INET6

        def ask() -> bool:
            with closing(socket.socket(kind, socket.SOCK_RAW, protocol)) as made:
                made.bind((address_of(sender, family), 0))
                made.settimeout(0.5)
                made.sendto(echo(request, protocol == socket.IPPROTO_ICMP), (address_of(receiver, family), 0))
                with suppress(TimeoutError):
                    while answer := made.recv(256):
                        if answer[20 if family == 4 else 0] == (0 if family == 4 else 129):
                            return True
                return False

        return sender.run(ask)

    assert ping(pair.front, pair.back)
    assert not ping(pair.back, pair.front)


def echo(kind: int, with_checksum: bool) -> bytes:  # noqa: FBT001 - the kernel fills in ICMPv6's checksum, not ICMP's
    checksum = ~((kind << 8) + 77 + 1) & 0xFFFF if with_checksum else 0
    return struct.pack("!BBHHH", kind, 0, checksum, 77, 1)


@FAMILIES
def test_the_node_is_a_peer_like_others(pair: Pair, family: int) -> None:
    """The node's own packets reach an isolated endpoint only where a rule allows `host`; replies come back."""
    entry = key(BACK, Direction.INGRESS, NODE, protocol=TCP, port=PORT)
    with closing(listening(pair.back, family)):
        address = NODE_ADDRESSES[0] if family == 4 else NODE_ADDRESSES[1]

        def reaches() -> bool:
            with closing(open_socket(socket.SOCK_STREAM, address, 0)) as client:
                client.settimeout(0.5)
                try:
                    client.connect((address_of(pair.back, family), PORT))
                except TimeoutError:
                    return False
                return True

        assert not pair.node.run(reaches)
        pair.host.allow(entry)
        assert pair.node.run(reaches)


@FAMILIES
def test_who_is_no_endpoint_is_the_world(pair: Pair, family: int) -> None:
    """A namespace that nobody manages is judged as the world, in both directions."""
    other = pair.node.add_workload("other", "10.77.2.1", "fd77:2::1")
    pair.host.allow(key(BACK, Direction.INGRESS, WORLD, protocol=UDP, port=PORT, kind=PeerKind.IDENTITY))
    target = address_of(pair.back, family)
    with (
        closing(pair.back.socket(address=target, port=PORT)) as server,
        closing(other.socket(address=address_of(other, family))) as client,
    ):
        client.sendto(b"question", (target, PORT))
        _, asker = server.recvfrom(64)
        server.sendto(b"answer", asker)
        assert client.recv(64) == b"answer"
        server.settimeout(0.3)
        with closing(other.socket(address=address_of(other, family), port=PORT)) as closed:
            server.sendto(b"on my own", (address_of(other, family), PORT))
            closed.settimeout(0.3)
            with pytest.raises(TimeoutError):
                closed.recv(64)


@FAMILIES
@DELIVERIES
def test_packets_larger_than_the_mtu_are_judged_whole(pair: Pair, family: int, delivery: Delivery) -> None:
    """Segmentation offload goes on through our programs: TCP's large packets are judged as one and arrive unchanged."""
    pair.allow(TCP, PORT)
    pair.deliver(delivery)
    pair.host.every_packet_writes_an_event()
    with ExitStack() as stack:
        client, accepted = connected(pair, family, stack)
        ours = client.getsockname()[1]
        sender = threading.Thread(target=client.sendall, args=(MEGABYTE,))
        sender.start()
        assert read_all(accepted, len(MEGABYTE)) == MEGABYTE
        sender.join()
    told = pair.host.ring.read()
    # What a namespace says of itself while it comes up may be among them.
    told = told[(told["source_port"] == ours) | (told["destination_port"] == ours)]
    assert max(told["length"]) > 10 * MTU
    assert not told["reason"].any()


@FAMILIES
@DELIVERIES
def test_datagrams_sent_as_one_arrive_as_many(pair: Pair, family: int, delivery: Delivery) -> None:
    """Datagrams that a sender hands over together (UDP_SEGMENT) are judged as one packet and arrive one by one."""
    pair.allow(UDP, PORT)
    pair.deliver(delivery)
    size, count = 1200, 30
    with ExitStack() as stack:
        receiver = stack.enter_context(closing(pair.back.socket(address=address_of(pair.back, family), port=PORT)))
        sender = stack.enter_context(closing(pair.front.socket(address=address_of(pair.front, family))))
        sender.setsockopt(UDP, UDP_SEGMENT, size)
        sender.sendto(MEGABYTE[: size * count], (address_of(pair.back, family), PORT))
        assert b"".join(receiver.recv(2 * size) for _ in range(count)) == MEGABYTE[: size * count]
    events = pair.host.ring.read()
    [told] = events[events["destination_port"] == PORT]
    assert told["length"] > size * count
