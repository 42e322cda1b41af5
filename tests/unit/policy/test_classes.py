from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from ringfence.labels import Labels
from ringfence.policy.classes import Span, longest, regions, traffic_classes, witness
from ringfence.selector import Operator, Requirement, Selector
from ringfence.traffic import Traffic

TCP, ICMP = 6, 1
PREFIXES = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    st.integers(0, (1 << 32) - 1).map(lambda number: number & 0xFF0000FF),
    st.one_of(st.integers(0, 12), st.integers(24, 32)),
)


def test_edges_of_ranges_start_classes() -> None:
    """Each range starts a class at its first port and another behind its last; the ports before are a class too."""
    found = traffic_classes([Span(TCP, 80, 90), Span(TCP, 90, 90), Span(ICMP, 8, 8)])
    assert [port for protocol, port in found if protocol == TCP] == [0, 80, 90, 91]
    assert [port for protocol, port in found if protocol == ICMP] == [0, 8, 9]


def test_ranges_that_end_with_the_protocol_start_nothing_behind() -> None:
    """There is no class behind the last port, nor behind the last ICMP type."""
    found = traffic_classes([Span(TCP, 81, 65535), Span(ICMP, 0, 255)])
    assert [port for protocol, port in found if protocol in {TCP, ICMP}] == [0, 0, 81]


def test_a_protocol_that_nobody_names_is_a_class() -> None:
    """One protocol that no span names stands for all of them, with a port and without."""
    found = traffic_classes([Span(47, 0, 65535)])
    assert [Traffic(50, 0), Traffic(50, 65535)] == [each for each in found if each.protocol != 47]


@given(st.lists(st.builds(Span, st.just(TCP), st.integers(0, 40), st.integers(0, 40)), max_size=4))
def test_every_port_is_in_the_spans_of_its_class(spans: list[Span]) -> None:
    """A port lies in the same spans as the one that stands for its class, the nearest not above it."""
    spans = [span for span in spans if span.first <= span.last]
    starts = [port for protocol, port in traffic_classes(spans) if protocol == TCP]
    for port in range(50) if starts else ():
        stands = max(each for each in starts if each <= port)
        assert [s.first <= port <= s.last for s in spans] == [s.first <= stands <= s.last for s in spans]


def test_regions_are_prefixes_without_the_narrower_ones() -> None:
    """The representative of a prefix lies in none of the narrower prefixes; a prefix that they fill has none."""
    found = dict(regions(map(ip_network, ("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/32"))))
    assert found[ip_network("10.0.0.0/9")] == IPv4Address("10.0.0.2")
    assert found[ip_network("10.0.0.0/32")] == IPv4Address("10.0.0.0")
    assert ip_network("10.0.0.0/8") not in found
    assert found[ip_network("::/0")] == IPv6Address("2001:db8::1")


@given(st.lists(PREFIXES, max_size=8), st.integers(0, (1 << 32) - 1))
def test_every_address_is_in_a_region(prefixes: list[IPv4Network], number: int) -> None:
    """The representative of the region that any address lies in is in exactly the same prefixes."""
    address = IPv4Address(number & 0xFF0000FF)
    known = {ip_network("0.0.0.0/0"), *prefixes}
    own = longest(IPv4Network(address), known)
    (representative,) = (each.address for each in regions(prefixes) if each.prefix == own)
    assert [address in prefix for prefix in prefixes] == [representative in prefix for prefix in prefixes]


def test_a_witness_has_what_a_selector_asks_for() -> None:
    """Of a selector a workload is made that it selects, in the namespace that it asks for."""
    selector = Selector.of(
        [
            Requirement("any", "app", Operator.IN, frozenset({"web", "api"})),
            Requirement("k8s", "tier", Operator.EXISTS),
            Requirement("k8s", "old", Operator.DOES_NOT_EXIST),
            Requirement("k8s", "io.kubernetes.pod.namespace", Operator.IN, frozenset({"shop"})),
        ]
    )
    found = witness(selector)
    assert found is not None
    assert found.namespace == "shop"
    assert selector.matches(Labels.parse([*(found.labels or ()), "k8s:io.kubernetes.pod.namespace=shop"]))


def test_what_selects_no_workload_has_no_witness() -> None:
    """Selectors of reserved labels, and those that contradict themselves, have none."""
    host = Requirement("reserved", "host", Operator.EXISTS)
    never = [Requirement("k8s", "a", Operator.EXISTS), Requirement("k8s", "a", Operator.DOES_NOT_EXIST)]
    assert witness(Selector.of([host])) is None
    assert witness(Selector.of(never)) is None
