"""Classes: the finitely many packets that stand for all, because nothing that judges can tell the others from them.

Who judges sees of a packet its traffic and two addresses. Rules know traffic by ranges of ports (ICMP types) of
protocols, and a map by blocks of them: between two neighbouring edges of all of them nothing is told apart, and a
protocol that none names is like every other that none names. Rules and ipcaches know addresses by prefixes, which are
nested or disjoint: two addresses of which the same prefix is the longest lie in the same prefixes. What is made here is
made of the rules' ranges and prefixes and of those that the caller found in a map, never by the compiler's code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final, NamedTuple

from ringfence.identity.prefixes import Address, Network
from ringfence.labels import DEFAULT_NAMESPACE, NAMESPACE_KEY, Label, Labels
from ringfence.policy.case import Party
from ringfence.selector import ANY_SOURCE, Operator, Requirement, Selector
from ringfence.traffic import LAST_PORT, Traffic, last_port

#: Protocol numbers from which one is taken that nobody names: GRE, ESP, IGMP and the like first.
_UNNAMED: Final = (47, 50, 2, *range(256))
_FAMILIES: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
#: What a packet to anywhere is shown with: addresses for documentation, where no prefix tells them apart.
_SHOWN: Final = {4: int(IPv4Address("203.0.113.1")), 6: int(IPv6Address("2001:db8::1"))}
_SOME_VALUE: Final = "some-value"


class Span(NamedTuple):
    """Ports, or ICMP types, of a protocol that something means, from `first` to `last`."""

    protocol: int
    first: int
    last: int


class Region(NamedTuple):
    """The addresses for which `prefix` is the longest of some prefixes, and one of them."""

    prefix: Network
    address: Address


def traffic_classes(spans: Iterable[Span]) -> list[Traffic]:
    """One of each kind of traffic that the spans tell apart; of a protocol that none names with and without a port."""
    starts: dict[int, set[int]] = {}
    for protocol, first, last in spans:
        edges = starts.setdefault(protocol, {0})
        edges.update(edge for edge in (first, last + 1) if edge <= last_port(protocol))
    unnamed = next((protocol for protocol in _UNNAMED if protocol not in starts), None)
    if unnamed is not None:
        starts[unnamed] = {0, LAST_PORT}
    return [Traffic(protocol, port) for protocol in sorted(starts) for port in sorted(starts[protocol])]


def regions(prefixes: Iterable[Network]) -> list[Region]:
    """The regions of both families that the prefixes make. One that narrower prefixes fill has no addresses: none."""
    ordered = sorted({*prefixes, *_FAMILIES}, key=_place)
    found: list[Region] = []
    open_: list[_Open] = []
    for network in ordered:
        while open_ and not open_[-1].holds(network):
            found.extend(open_.pop().close())
        if open_:
            open_[-1].fill(network)
        open_.append(_Open(network))
    while open_:
        found.extend(open_.pop().close())
    return found


class _Open:
    """A prefix whose narrower ones are coming, in order; `_next` is the first address behind those that came."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._next = int(network.network_address)
        self._last = int(network.broadcast_address)
        self._free: int | None = None

    def holds(self, network: Network) -> bool:
        return network.version == self.network.version and int(network.network_address) <= self._last

    def fill(self, network: Network) -> None:
        self._gap(int(network.network_address) - 1)
        self._next = int(network.broadcast_address) + 1

    def close(self) -> Iterator[Region]:
        self._gap(self._last)
        if self._free is not None:
            version = self.network.version
            yield Region(self.network, IPv4Address(self._free) if version == 4 else IPv6Address(self._free))

    def _gap(self, last: int) -> None:
        """Addresses from `_next` to `last` are in nothing narrower. The second of them looks more like a host's."""
        shown = _SHOWN[self.network.version]
        if self.network.prefixlen == 0 and self._next <= shown <= last:
            self._free = shown
        elif self._free is None and self._next <= last:
            self._free = min(self._next + 1, last)


def witness(selector: Selector) -> Party | None:
    """A workload that need not exist, with no labels but those a selector asks for; None where it can mean none."""
    for namespace in (DEFAULT_NAMESPACE, "elsewhere"):
        labels = {label.key: label for label in filter(None, map(_label, selector.requirements))}
        where = labels.pop(NAMESPACE_KEY, None)
        name = where.value if where and where.value != _SOME_VALUE else namespace
        whole = Labels([*labels.values(), Label("k8s", NAMESPACE_KEY, name)])
        if selector.matches(whole):
            return Party(labels=tuple(map(str, labels.values())), namespace=name)
    return None


def _label(requirement: Requirement) -> Label | None:
    """The label that meets a requirement; none for one that asks for absence, or for what is no workload."""
    if requirement.operator.negative or requirement.source in {"reserved", "cidr"}:
        return None
    source = "k8s" if requirement.source == ANY_SOURCE else requirement.source
    value = min(requirement.values) if requirement.operator is Operator.IN else _SOME_VALUE
    return Label(source, requirement.key, value)


def longest(network: Network, prefixes: AbstractSet[Network]) -> Network | None:
    """The longest of the prefixes that contain a network."""
    lengths = sorted({each.prefixlen for each in prefixes if each.prefixlen <= network.prefixlen}, reverse=True)
    covers: Iterator[Network] = (network.supernet(new_prefix=length) for length in lengths)
    return next((each for each in covers if each in prefixes), None)


def _place(network: Network) -> tuple[int, int, int]:
    """In this order a prefix comes right before all that lie in it."""
    return network.version, int(network.network_address), network.prefixlen
