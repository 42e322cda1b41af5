"""Frames that are made to get past policy, sent as real packets: what the socket at a denied port hears of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from ringfence.abi import Reason
from tests.bpf.host import ip
from tests.bpf.packets import fragment
from tests.kernel.pairs import FAMILIES, Pair, address_of

ALLOWED, DENIED = 8080, 8081
TEXT = b"past policy?" * 6
END = b"end"
Frames = list[Packet]


def datagram(pair: Pair, family: int, port: int) -> Packet:
    """A whole datagram from the frontend to the backend, its checksums filled in."""
    ends = address_of(pair.front, family), address_of(pair.back, family)
    layer = ip(*ends)
    whole = layer / UDP(sport=40000, dport=port) / Raw(TEXT)
    return type(layer)(bytes(whole))


def heard(pair: Pair, family: int, frames: Iterable[Packet]) -> tuple[list[bytes], list[bytes]]:
    """What arrives at the allowed port and at the denied one. A last datagram to the allowed port says that the frames,
    which took the same way before it, have come through or never will.
    """
    target = address_of(pair.back, family)
    with ExitStack() as stack:
        allowed, denied = (
            stack.enter_context(closing(pair.back.socket(address=target, port=port))) for port in (ALLOWED, DENIED)
        )
        wire = stack.enter_context(closing(pair.front.run(on_the_wire)))
        side = pair.front.interface
        for frame in frames:
            wire.send(bytes(Ether(src=side.mac, dst=side.host_mac) / frame))
        with closing(pair.front.socket(address=address_of(pair.front, family))) as ending:
            ending.sendto(END, (target, ALLOWED))
        passed = list(iter(lambda: allowed.recv(65536), END))
        denied.settimeout(0)
        return passed, waiting(denied)


def on_the_wire() -> socket.socket:
    """A socket that sends whole frames out of the workload's interface."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    opened.bind(("eth0", 0))
    return opened


def waiting(receiver: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(receiver.recv(65536))
    except BlockingIOError:
        return found


@pytest.fixture
def allowing(pair: Pair) -> Pair:
    """The frontend may send to the one port and not to the other."""
    pair.allow(socket.IPPROTO_UDP, ALLOWED)
    return pair


@FAMILIES
def test_a_frame_without_tricks_arrives(allowing: Pair, family: int) -> None:
    """What follows is sent in the same way: a plain frame passes at the allowed port, and not at the denied one."""
    frames = [datagram(allowing, family, port) for port in (ALLOWED, DENIED)]
    assert heard(allowing, family, frames) == ([TEXT], [])
    assert Reason.POLICY_DENIED in allowing.reasons()


@FAMILIES
@pytest.mark.parametrize(
    "tags",
    [Dot1Q(vlan=7), Dot1Q(vlan=0), Dot1AD(vlan=7) / Dot1Q(vlan=8), Dot1Q(vlan=7) / Dot1Q(vlan=8)],
    ids=["802.1Q", "priority", "802.1ad", "two"],
)
def test_a_tag_is_no_way_past_policy(allowing: Pair, family: int, tags: Packet) -> None:
    """A tagged frame is dropped with a reason of its own, whichever port it is for; nobody behind hears it."""
    frames = [tags.copy() / datagram(allowing, family, port) for port in (ALLOWED, DENIED)]
    assert heard(allowing, family, frames) == ([], [])
    reasons = allowing.reasons()
    assert Reason.VLAN in reasons
    assert Reason.POLICY_DENIED not in reasons


def piece(whole: Packet, start: int, end: int, number: int = 99) -> Packet:
    """Some bytes of what the datagram carries, as a fragment."""
    carried = bytes(whole.payload)
    return fragment(whole, carried[start:end], start, number, more=end < len(carried))


def second_first(good: Packet, bad: Packet) -> Frames:
    """Another first fragment, with the denied port, after the allowed one."""
    return [piece(good, 0, 16), piece(bad, 0, 16), piece(good, 16, 200)]


def second_first_last(good: Packet, bad: Packet) -> Frames:
    """The allowed first opens the way for the rest; the denied one comes before the datagram is whole."""
    return [piece(good, 0, 16), piece(good, 24, 200), piece(bad, 0, 16), piece(bad, 16, 24)]


def rest_before_first(good: Packet, bad: Packet) -> Frames:
    """The rest waits at the receiver, if it gets there, for a first fragment that is denied."""
    return [piece(good, 16, 200), piece(bad, 0, 16), piece(good, 0, 16)]


def rewritten_ports(good: Packet, bad: Packet) -> Frames:
    """The shortest fragment there is, only the ports, over those that were judged."""
    return [piece(good, 0, 24), piece(bad, 0, 8), piece(good, 24, 200)]


def overlapping_middle(good: Packet, bad: Packet) -> Frames:
    """Bytes told twice, not those of the ports."""
    return [piece(good, 0, 24), piece(bad, 16, 40), piece(good, 24, 200)]


def another_number(good: Packet, bad: Packet) -> Frames:
    """Fragments of a denied datagram with the number of an allowed one that is whole already."""
    return [piece(good, 0, 16), piece(good, 16, 200), piece(bad, 16, 200), piece(bad, 0, 16)]


@FAMILIES
@pytest.mark.parametrize(
    "trick",
    [second_first, second_first_last, rest_before_first, rewritten_ports, overlapping_middle, another_number],
    ids=lambda trick: trick.__name__,
)
def test_fragments_are_no_way_past_policy(
    allowing: Pair, family: int, trick: Callable[[Packet, Packet], Frames]
) -> None:
    """However fragments overlap or come out of order, the denied port hears nothing, and the allowed one nothing else
    than the datagram that was allowed.
    """
    good, bad = (datagram(allowing, family, port) for port in (ALLOWED, DENIED))
    passed, slipped = heard(allowing, family, trick(good, bad))
    assert slipped == []
    assert passed in ([], [TEXT])


@FAMILIES
def test_fragments_in_order_arrive(allowing: Pair, family: int) -> None:
    """The same pieces without a trick are one datagram to the receiver."""
    good = datagram(allowing, family, ALLOWED)
    assert heard(allowing, family, [piece(good, 0, 16), piece(good, 16, 40), piece(good, 40, 200)]) == ([TEXT], [])
