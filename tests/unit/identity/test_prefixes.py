from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity.ipcache import UNKNOWN_ADDRESS, Ipcache, Known
from ringfence.identity.prefixes import Block, Network, NetworkSet, PrefixTable, inside

BIG, MIDDLE, SMALL = (ip_network(each) for each in ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"))


def networks() -> st.SearchStrategy[Network]:
    """Networks of both families, close together so that they nest."""
    four = st.builds(lambda a, n: IPv4Network((a << 24, n), strict=False), st.integers(0, 3), st.integers(4, 32))
    six = st.builds(lambda a, n: IPv6Network((a << 120, n), strict=False), st.integers(0, 3), st.integers(4, 128))
    return st.one_of(four, six)


@given(st.sets(networks(), max_size=12), st.sets(networks(), max_size=4), networks())
def test_a_set_of_networks_knows_what_covers_and_what_lies_inside(
    kept: set[Network], gone: set[Network], asked: Network
) -> None:
    """As if all networks had been looked at, after removals too."""
    found = NetworkSet()
    for network in [*kept, *gone]:
        found.add(network)
    for network in gone - kept:
        found.remove(network)
    covering = [each for each in kept if inside(asked, each)]
    assert list(found.covering(asked)) == sorted(covering, key=lambda each: -each.prefixlen)
    assert set(found.inside(asked)) == {each for each in kept if inside(each, asked)}
    assert set(found) == kept


def table(*prefixes: Network) -> PrefixTable:
    made = PrefixTable()
    for number, prefix in enumerate(prefixes, start=100):
        made.add(prefix, number)
    return made


def test_the_class_is_the_longest_prefix() -> None:
    """Of nested policy prefixes the longest one classifies an address; without one the class is 0."""
    prefixes = table(BIG, SMALL)
    assert prefixes.class_of(ip_network("10.1.2.3/32")) == 101
    assert prefixes.class_of(ip_network("10.1.3.3/32")) == 100
    assert prefixes.class_of(ip_network("11.0.0.1/32")) == 0


def test_a_prefix_identity_carries_its_covers() -> None:
    """The labels of a prefix are itself, all policy prefixes around it, and the world."""
    prefixes = table(BIG, SMALL)
    assert prefixes.labels(SMALL).texts() == ["cidr:10.0.0.0/8", "cidr:10.1.2.0/24", "reserved:world"]


def test_a_block_holds_the_prefixes_inside_and_not_excepted() -> None:
    """A block follows the prefixes that come and go later."""
    prefixes = table(BIG, MIDDLE)
    block = Block(BIG, (MIDDLE,))
    live = prefixes.acquire(block)
    assert live == {100}
    assert prefixes.add(SMALL, 102) == []
    assert prefixes.add(ip_network("10.2.0.0/16"), 103) == [block]
    prefixes.gain(block, 103)
    assert live == {100, 103}


def test_the_ipcache_knows_assignments_and_prefixes() -> None:
    """An assigned address keeps its identity inside a policy prefix; its class follows the prefixes."""
    prefixes = PrefixTable()
    cache = Ipcache(prefixes)
    cache.assign(ip_network("10.1.2.3/32"), 256)
    prefixes.add(BIG, 100)
    cache.prefix_changed(BIG)
    assert cache.take_changes() == {ip_network("10.1.2.3/32"): Known(256, 100), BIG: Known(100, 100)}
    prefixes.add(MIDDLE, 101)
    cache.prefix_changed(MIDDLE)
    assert cache.lookup(ip_address("10.1.2.3")) == Known(256, 101)
    assert cache.lookup(ip_address("10.1.2.4")) == Known(101, 101)
    assert cache.lookup(ip_address("10.2.0.1")) == Known(100, 100)
    assert cache.lookup(ip_address("192.0.2.1")) == UNKNOWN_ADDRESS
    prefixes.remove(MIDDLE)
    cache.prefix_changed(MIDDLE)
    assert cache.take_changes() == {}
    cache.unassign(ip_network("10.1.2.3/32"))
    assert cache.take_changes() == {ip_network("10.1.2.3/32"): None}


def test_workload_prefixes_own_what_is_in_them() -> None:
    """A policy prefix inside a prefix of workloads is not the world's: its addresses keep the assigned identity."""
    prefixes = PrefixTable()
    cache = Ipcache(prefixes)
    cache.assign(BIG, 3)
    prefixes.add(SMALL, 100)
    cache.prefix_changed(SMALL)
    assert cache.lookup(ip_address("10.1.2.3")) == Known(3, 100)
    assert cache.lookup(ip_address("10.9.9.9")) == Known(3, 0)
