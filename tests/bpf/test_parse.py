"""From bytes to a packet: headers in every order and length; what does not parse is dropped, never let through."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP, IPOption
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from ringfence.abi import Direction, Reason
from ringfence.datapath import batch
from ringfence.datapath.libbpf import BpfObject
from ringfence.datapath.loader import LoadedObject
from tests.bpf.conftest import BACKEND, FRONTEND
from tests.bpf.host import DROP, LOOPBACK, Host, framed, ip, key
from tests.bpf.packets import CLIENT_PORT, SERVER_PORT, Network, fragments, ping, sctp, tcp, udp, unreachable
from tools.compile_bpf import compile_bpf

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
NO_NEXT_HEADER, ESP = 59, 50
ENDS = {"src": "fd00::1", "dst": "fd00::2"}
ETHERNET = 14
SHORTEST = {4: ETHERNET + 20, 6: ETHERNET + 40}  # a test run refuses frames that are shorter than their IP header
Prelude = Callable[[str, str], int]


@pytest.fixture(scope="module")
def prelude(verified: LoadedObject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prelude]:
    """A program of prelude.bpf.c that hands the packet on to one under test."""
    source = Path(__file__).parent / "prelude.bpf.c"
    compiled = compile_bpf(source, tmp_path_factory.mktemp("prelude") / "prelude.o")
    with BpfObject(compiled.read_bytes(), "prelude") as opened:
        opened.load()

        def before(name: str, tested: str) -> int:
            row, program = np.zeros(1, np.uint32), np.array([verified.programs[tested]], np.uint32)
            batch.write(opened.maps()["tested"], row, program, 0)
            return opened.programs()[name]

        yield before


@pytest.fixture
def only_server(host: Host) -> Host:
    """The backend takes TCP to its port and nothing else."""
    host.isolate("backend", Direction.INGRESS)
    host.allow(key(BACKEND, Direction.INGRESS, FRONTEND, protocol=6, port=SERVER_PORT))
    return host


def header(kind: int, following: int, units: int = 0) -> bytes:
    """An IPv6 extension header, `units` of eight bytes longer than it has to be."""
    if kind == AUTHENTICATION:
        return bytes([following, 4 + 2 * units]) + bytes(22 + 8 * units)
    if kind == FRAGMENT:
        return bytes([following]) + bytes(7)
    length = 6 + 8 * units
    padding = bytes([1, length - 2]) + bytes(length - 2) if kind != ROUTING else bytes(length)
    return bytes([following, units]) + padding


def chain(kinds: list[int], upper: Packet, protocol: int = 6, units: int = 0) -> Packet:
    """An IPv6 packet with these extension headers before its upper layer."""
    following = [*kinds, protocol][1:]
    headers = b"".join(header(kind, after, units) for kind, after in zip(kinds, following, strict=True))
    return IPv6(**ENDS, nh=kinds[0] if kinds else protocol) / Raw(headers + bytes(upper))


def segment(port: int = SERVER_PORT) -> Packet:
    """The TCP header of a SYN."""
    return tcp(ENDS["src"], ENDS["dst"], dport=port).payload


# --- headers in order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [4, 8, 20, 40])
def test_ipv4_options_are_stepped_over(only_server: Host, length: int) -> None:
    """The ports are found behind options of any length."""
    options = [IPOption(b"\x01" * length)]
    for port, allowed in ((SERVER_PORT, True), (SERVER_PORT + 1, False)):
        outcome = only_server.sends("frontend", tcp("10.0.0.1", "10.0.0.2", dport=port, options=options))
        assert outcome.passed == allowed
        assert (outcome.event["source_port"], outcome.event["destination_port"]) == (CLIENT_PORT, port)


ORDERS = [
    list(order)
    for size in (1, 2, 3)
    for order in permutations([HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION], size)
]


@pytest.mark.parametrize("kinds", ORDERS, ids=str)
def test_ipv6_extension_headers_are_stepped_over_in_any_order(only_server: Host, kinds: list[int]) -> None:
    """The ports are found behind extension headers in any order."""
    assert only_server.sends("frontend", chain(kinds, segment())).passed
    outcome = only_server.sends("frontend", chain(kinds, segment(SERVER_PORT + 1)))
    assert (outcome.reason, outcome.event["destination_port"]) == (Reason.POLICY_DENIED, SERVER_PORT + 1)


@pytest.mark.parametrize("kind", [HOP_BY_HOP, ROUTING, AUTHENTICATION, DESTINATION])
@pytest.mark.parametrize("units", [1, 5, 30])
def test_the_length_of_an_extension_header_counts(only_server: Host, kind: int, units: int) -> None:
    """A long extension header hides no ports."""
    assert only_server.sends("frontend", chain([kind], segment(), units=units)).passed
    assert not only_server.sends("frontend", chain([kind], segment(SERVER_PORT + 1), units=units)).passed


def test_eight_extension_headers_are_enough(only_server: Host) -> None:
    """Up to eight extension headers are read; a packet with more is dropped with a reason of its own."""
    assert only_server.sends("frontend", chain([DESTINATION] * 8, segment())).passed
    outcome = only_server.sends("frontend", chain([DESTINATION] * 9, segment()))
    assert outcome.reason == Reason.INVALID_EXTENSION_HEADER


@pytest.mark.parametrize("units", [200, 255])
def test_an_extension_header_longer_than_the_packet_is_dropped(only_server: Host, units: int) -> None:
    """What an extension header claims to be longer than does not parse."""
    packet = chain([DESTINATION], segment())
    packet[Raw].load = bytes([6, units]) + packet[Raw].load[2:]
    assert only_server.sends("frontend", packet).reason in {Reason.INVALID_PACKET, Reason.INVALID_EXTENSION_HEADER}


@pytest.mark.parametrize("protocol", [NO_NEXT_HEADER, ESP, 47, 135])
def test_what_has_no_ports_is_judged_by_its_protocol(only_server: Host, protocol: int) -> None:
    """An upper layer without ports meets only rules for the protocol, or for any."""
    packet = chain([DESTINATION], Raw(bytes(segment())), protocol)
    assert only_server.sends("frontend", packet).reason == Reason.POLICY_DENIED
    only_server.allow(key(BACKEND, Direction.INGRESS, FRONTEND, protocol=protocol))
    outcome = only_server.sends("frontend", packet)
    assert (outcome.passed, outcome.event["protocol"]) == (True, protocol)


# --- what is cut or wrong -----------------------------------------------------------------------------------------


def enough(family: int, protocol: int) -> int:
    """How many bytes of a frame have to be there for its ports, and flags, to be known."""
    return ETHERNET + (20 if family == 4 else 40) + {6: 14, 17: 4, 132: 4, 1: 8, 58: 8}[protocol]


def shortened(frame: bytes, length: int) -> bytes:
    """The first bytes of a frame, with a header that says so."""
    cut = bytearray(frame[:length])
    if cut[12:14] == b"\x08\x00":
        cut[16:18] = (length - ETHERNET).to_bytes(2, "big")
    else:
        cut[18:20] = (length - ETHERNET - 40).to_bytes(2, "big")
    return bytes(cut)


@pytest.mark.parametrize("make", [tcp, udp, sctp, ping])
def test_a_packet_shorter_than_it_says_is_dropped(host: Host, net: Network, make: Callable[[str, str], Packet]) -> None:
    """What was cut on its way is no packet, whatever is still there of it; bytes behind its end are padding."""
    frame = framed(make(net.frontend, net.backend))
    for length in range(SHORTEST[net.family], len(frame)):
        assert host.sends("frontend", frame[:length]).reason == Reason.INVALID_PACKET, length
    outcome = host.sends("frontend", frame + bytes(30))
    assert (outcome.passed, outcome.event["length"]) == (True, len(frame) - ETHERNET)


@pytest.mark.parametrize("make", [tcp, udp, sctp, ping])
def test_ports_behind_the_end_of_a_packet_are_none(
    host: Host, net: Network, make: Callable[[str, str], Packet]
) -> None:
    """A header in a frame's padding says nothing: the stack cuts it off, and another may come with a later fragment."""
    frame = bytearray(shortened(framed(make(net.frontend, net.backend)), SHORTEST[net.family]))
    padded = bytes(frame) + framed(make(net.frontend, net.backend))[len(frame) :]
    assert host.sends("frontend", padded).reason == Reason.INVALID_PACKET


def test_a_first_fragment_has_the_header_within_its_length(only_server: Host) -> None:
    """A first fragment that ends before the ports, with other ports in the padding, opens no way for what follows."""
    first = header(FRAGMENT, DESTINATION)[:3] + b"\x01" + bytes(4) + header(DESTINATION, 6)
    packet = IPv6(**ENDS, nh=FRAGMENT, plen=len(first)) / Raw(first + bytes(segment()))
    assert only_server.sends("frontend", packet).reason == Reason.INVALID_PACKET
    rest = header(FRAGMENT, DESTINATION)[:3] + b"\x08" + bytes(4) + bytes(segment(22))
    assert not only_server.sends("frontend", IPv6(**ENDS, nh=FRAGMENT) / Raw(rest)).passed


def test_a_fragment_of_a_fragment_is_dropped(host: Host) -> None:
    """Two fragment headers of which the first promises more: nobody sends such."""
    outer = bytes([FRAGMENT, 0, 0, 1]) + bytes(4)
    packet = IPv6(**ENDS, nh=FRAGMENT) / Raw(outer + header(FRAGMENT, 6) + bytes(segment()))
    assert host.sends("frontend", packet).reason == Reason.INVALID_EXTENSION_HEADER


@pytest.mark.parametrize(("make", "protocol"), [(tcp, 6), (udp, 17), (sctp, 132), (ping, 0)])
def test_a_packet_cut_at_any_byte_is_judged_or_dropped(
    host: Host, net: Network, make: Callable[[str, str], Packet], protocol: int
) -> None:
    """A packet passes only by rules, and only when all that rules ask for is there."""
    frame = framed(make(net.frontend, net.backend))
    needed = enough(net.family, protocol or net.ping_protocol)
    for length in range(SHORTEST[net.family], len(frame) + 1):
        host.let_pass(10_000)
        outcome = host.sends("frontend", shortened(frame, length))
        assert outcome.passed == (length >= needed), length
        assert outcome.reason == (Reason.FORWARDED if outcome.passed else Reason.INVALID_PACKET)
        assert all(outcome.rules) == outcome.passed


def test_a_chain_of_headers_cut_at_any_byte_is_judged_or_dropped(host: Host) -> None:
    """An IPv6 packet with extension headers that is cut anywhere passes only when its flags are there."""
    kinds = [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION]
    frame = framed(chain(kinds, segment()))
    for length in range(SHORTEST[6], len(frame) + 1):
        host.let_pass(10_000)
        assert host.sends("frontend", shortened(frame, length)).passed == (length >= len(frame) - 6), length


def test_an_error_cut_at_any_byte_is_judged_or_dropped(only_server: Host, net: Network) -> None:
    """An ICMP error that is cut anywhere is related only when what it quotes can be told."""
    only_server.isolate("backend", Direction.EGRESS)
    request = tcp(net.frontend, net.backend)
    only_server.sends("frontend", request)
    frame = framed(unreachable(net.backend, net.frontend, request))
    for length in range(SHORTEST[net.family], len(frame) + 1):
        outcome = only_server.sends("backend", shortened(frame, length))
        assert outcome.passed == (length >= len(frame) - 16), length


@pytest.mark.parametrize("program", ["from_endpoint", "to_endpoint"])
def test_a_packet_cut_in_its_ip_header_is_dropped(host: Host, net: Network, prelude: Prelude, program: str) -> None:
    """A frame that says it is IP but ends before the header does is dropped."""
    host.place(host.endpoints["frontend"], LOOPBACK)
    frame = bytearray(framed(tcp(net.frontend, net.backend)))
    frame[12] ^= 0x80
    for length in range(ETHERNET, SHORTEST[net.family]):
        outcome = host.run(prelude("retyped", program), bytes(frame[:length]))
        assert (outcome.run.retval, outcome.reason) == (DROP, Reason.INVALID_PACKET), length


@pytest.mark.parametrize("value", [0x44, 0x40, 0x65, 0x05, 0x55])
def test_an_ipv4_header_of_another_version_or_too_short_is_dropped(host: Host, value: int) -> None:
    """The version has to be that of the frame, and the header at least its fixed part."""
    frame = bytearray(framed(tcp("10.0.0.1", "10.0.0.2")))
    frame[ETHERNET] = value
    assert host.sends("frontend", bytes(frame)).reason == Reason.INVALID_PACKET


@pytest.mark.parametrize("value", [0x40, 0x50, 0x00, 0xF0])
def test_an_ipv6_header_of_another_version_is_dropped(host: Host, value: int) -> None:
    """The version has to be that of the frame."""
    frame = bytearray(framed(tcp(ENDS["src"], ENDS["dst"])))
    frame[ETHERNET] = value
    assert host.sends("frontend", bytes(frame)).reason == Reason.INVALID_PACKET


@pytest.mark.parametrize(
    ("source", "destination"),
    [("::ffff:10.0.0.1", "fd00::2"), ("fd00::1", "::ffff:10.0.0.2"), ("::ffff:10.0.0.1", "::ffff:10.0.0.2")],
)
def test_a_mapped_address_on_the_wire_is_dropped(host: Host, source: str, destination: str) -> None:
    """An IPv6 packet with an address of ::ffff:0:0/96 would be taken for the IPv4 address itself."""
    for send in (host.sends, host.gets):
        assert send("frontend", tcp(source, destination)).reason == Reason.INVALID_PACKET


@pytest.mark.parametrize("layers", [[], [DESTINATION]], ids=["plain", "extension"])
def test_icmp_of_the_other_family_is_dropped(host: Host, net: Network, layers: list[int]) -> None:
    """ICMPv6 inside IPv4 and ICMP inside IPv6 are no packets."""
    protocol = 58 if net.family == 4 else 1
    if net.family == 4:
        packet = ip(net.frontend, net.backend, proto=protocol) / Raw(bytes([128]) + bytes(31))
    else:
        packet = chain(layers, Raw(bytes([8]) + bytes(31)), protocol)
    assert host.sends("frontend", packet).reason == Reason.INVALID_PACKET


# --- other than IP ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0x88CC, 0x8847, 0x8863, 0x8864, 0x88E5, 0x0805, 0x0026, 0x9000])
def test_what_is_neither_ip_nor_arp_is_dropped(host: Host, number: int) -> None:
    """Frames of other protocols are dropped in both directions, told and counted."""
    frame = Ether(src="02:00:00:00:01:01", dst="02:00:00:00:00:01", type=number) / Raw(bytes(46))
    for send, direction in ((host.sends, Direction.EGRESS), (host.gets, Direction.INGRESS)):
        outcome = send("frontend", frame)
        assert outcome.reason == Reason.UNSUPPORTED_L3
        assert (outcome.event["family"], outcome.event["length"]) == (0, 46)
        assert host.counted(Reason.UNSUPPORTED_L3, direction) == 1


@pytest.mark.parametrize("tag", [Dot1Q(vlan=5), Dot1AD(vlan=5), Dot1Q(vlan=5) / Dot1Q(vlan=6)])
def test_a_tag_in_the_frame_hides_no_packet(host: Host, net: Network, tag: Packet) -> None:
    """A packet behind a VLAN tag is not let through, though it would be without."""
    frame = Ether(src="02:00:00:00:01:01", dst="02:00:00:00:00:01") / tag / tcp(net.frontend, net.backend)
    assert not host.sends("frontend", frame).passed


@pytest.mark.parametrize("program", ["from_endpoint", "to_endpoint"])
def test_a_tag_that_the_kernel_took_off_is_seen(host: Host, net: Network, prelude: Prelude, program: str) -> None:
    """A packet that arrived with a VLAN tag, which the kernel keeps beside it, is dropped with a reason of its own."""
    host.place(host.endpoints["frontend"], LOOPBACK)
    outcome = host.run(prelude("tagged", program), tcp(net.frontend, net.backend))
    assert (outcome.run.retval, outcome.reason) == (DROP, Reason.VLAN)


# --- anything -----------------------------------------------------------------------------------------------------


def test_whatever_arrives_is_judged_or_dropped(host: Host) -> None:
    """Of thousands of packets with bytes changed, cut and repeated, none passes where nothing is allowed."""
    for name in host.endpoints:
        for direction in Direction:
            host.isolate(name, direction)
    draw = random.Random(20)
    seeds = [framed(packet).ljust(SHORTEST[6], b"\0") for packet in seed_packets()]
    for _ in range(4000):
        frame = bytearray(draw.choice(seeds))
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(12, min(len(frame), 90))
            frame[at] = draw.choice([0, 1, 6, 17, 44, 51, 58, 60, 255, draw.randrange(256)])
        frame = frame[: draw.randint(SHORTEST[6], len(frame))] if draw.random() < 0.3 else frame
        send = host.sends if draw.random() < 0.5 else host.gets
        outcome = send(draw.choice(["frontend", "backend"]), bytes(frame))
        assert not outcome.passed, bytes(frame).hex()
        assert outcome.reason != Reason.FORWARDED


def seed_packets() -> list[Packet]:
    """One packet of every form."""
    both = [(net, tcp(*net)) for net in (("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2"))]
    packets = [packet for _, packet in both]
    for ends, packet in both:
        packets += [udp(*ends), sctp(*ends), ping(*ends), unreachable(*ends, packet), *fragments(udp(*ends))]
    packets.append(chain([HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION], segment()))
    packets.append(IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption(b"\x01" * 8)]) / UDP(dport=53))
    return packets
