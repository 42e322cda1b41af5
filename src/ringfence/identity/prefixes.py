"""Prefixes that policies use, and what they tell apart.

Every prefix a policy names, an exception too, has one number. It is the identity of the outside addresses for which it
is the longest such prefix, and it is the prefix class of every address for which it is. Policy prefixes are nested or
disjoint, so whether an address lies in a block (a prefix without its exceptions) depends on its class alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from ringfence.identity.reserved import RESERVED_LABELS, WHOLE_FAMILY, Reserved
from ringfence.labels import Label, Labels

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def inside(network: Network, outer: Network) -> bool:
    """Whether every address of a network is in the other; never across families."""
    if isinstance(network, IPv4Network):
        return isinstance(outer, IPv4Network) and network.subnet_of(outer)
    return isinstance(outer, IPv6Network) and network.subnet_of(outer)


@lru_cache(maxsize=65536)
def host_network(address: Address) -> Network:
    """The prefix of one address; remembered, for making one takes longer than most that is asked of it."""
    return IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)


@dataclass(frozen=True, slots=True)
class Block:
    """The addresses of a prefix without those of its exceptions, which all lie inside it."""

    prefix: Network
    excepts: tuple[Network, ...] = ()

    def __contains__(self, network: Network) -> bool:
        return inside(network, self.prefix) and not any(inside(network, each) for each in self.excepts)

    def __str__(self) -> str:
        return f"{self.prefix} except {', '.join(map(str, self.excepts))}" if self.excepts else str(self.prefix)


class NetworkSet:
    """Networks that can be asked what covers a network and what lies inside one, without looking at all of them."""

    def __init__(self) -> None:
        self._networks: dict[tuple[int, int, int], Network] = {}
        self._lengths: dict[int, dict[int, int]] = {4: {}, 6: {}}
        self._sorted: dict[int, list[tuple[int, int]]] = {4: [], 6: []}

    def add(self, network: Network) -> None:
        """A network that is there already stays there once."""
        key = _key(network)
        if key in self._networks:
            return
        self._networks[key] = network
        lengths = self._lengths[network.version]
        lengths[network.prefixlen] = lengths.get(network.prefixlen, 0) + 1
        insort(self._sorted[network.version], (int(network.network_address), network.prefixlen))

    def remove(self, network: Network) -> None:
        del self._networks[_key(network)]
        lengths = self._lengths[network.version]
        lengths[network.prefixlen] -= 1
        if not lengths[network.prefixlen]:
            del lengths[network.prefixlen]
        ordered = self._sorted[network.version]
        del ordered[bisect_left(ordered, (int(network.network_address), network.prefixlen))]

    def covering(self, network: Network) -> Iterator[Network]:
        """The networks that contain this one, itself too if it is there; the longest first."""
        first, bits = int(network.network_address), network.max_prefixlen
        for length in sorted(self._lengths[network.version], reverse=True):
            if length <= network.prefixlen:
                found = self._networks.get((network.version, length, first >> (bits - length)))
                if found is not None:
                    yield found

    def longest(self, network: Network) -> Network | None:
        return next(self.covering(network), None)

    def inside(self, network: Network) -> list[Network]:
        """The networks that lie in this one, itself too if it is there."""
        first, last = int(network.network_address), int(network.broadcast_address)
        ordered, bits, version = self._sorted[network.version], network.max_prefixlen, network.version
        start = bisect_left(ordered, (first, network.prefixlen))
        end = bisect_right(ordered, (last, bits))
        return [self._networks[version, length, value >> (bits - length)] for value, length in ordered[start:end]]

    def __contains__(self, network: Network) -> bool:
        return _key(network) in self._networks

    def __iter__(self) -> Iterator[Network]:
        return iter(self._networks.values())

    def __len__(self) -> int:
        return len(self._networks)


class PrefixTable:
    """The policy prefixes with their numbers, and the numbers in every block that rules use."""

    def __init__(self) -> None:
        self.networks = NetworkSet()
        #: Whose the addresses of a prefix are, where they are not the world's.
        self.owners: dict[Network, Reserved] = {}
        self._numbers: dict[Network, int] = {}
        self._blocks: dict[Block, set[int]] = {}
        self._uses: dict[Block, int] = {}
        self._by_prefix: dict[Network, dict[Block, None]] = {}

    def number(self, prefix: Network) -> int:
        return self._numbers[prefix]

    def class_of(self, network: Network) -> int:
        """The number of the longest policy prefix that contains the network, 0 if none does."""
        longest = self.networks.longest(network)
        return 0 if longest is None else self._numbers[longest]

    def labels(self, prefix: Network) -> Labels:
        """The labels of a prefix's identity: itself, the policy prefixes that cover it, and whose it is."""
        if prefix in WHOLE_FAMILY:
            return RESERVED_LABELS[WHOLE_FAMILY[prefix]]
        cidrs = [Label("cidr", str(each)) for each in self.networks.covering(prefix)]
        return Labels([*cidrs, self.owners.get(prefix, Reserved.WORLD).label])

    def add(self, prefix: Network, number: int) -> list[Block]:
        """Learn of a prefix; the blocks it lies in, none of which has it in its live set yet."""
        self.networks.add(prefix)
        self._numbers[prefix] = number
        return self._containing(prefix)

    def remove(self, prefix: Network) -> list[Block]:
        """Forget a prefix; the blocks it lay in, all of which still have it in their live set."""
        blocks = self._containing(prefix)
        self.networks.remove(prefix)
        del self._numbers[prefix]
        return blocks

    def acquire(self, block: Block) -> AbstractSet[int]:
        """The live set of numbers in a block, whose prefixes are all known; changed in place."""
        self._uses[block] = self._uses.get(block, 0) + 1
        if block not in self._blocks:
            found = self.networks.inside(block.prefix)
            self._blocks[block] = {self._numbers[each] for each in found if each in block}
            self._by_prefix.setdefault(block.prefix, {})[block] = None
        return self._blocks[block]

    def release(self, block: Block) -> None:
        self._uses[block] -= 1
        if not self._uses[block]:
            del self._uses[block], self._blocks[block], self._by_prefix[block.prefix][block]
            if not self._by_prefix[block.prefix]:
                del self._by_prefix[block.prefix]

    def gain(self, block: Block, number: int) -> None:
        """Put a number into the live set. One set at a time, so that unions of them can be kept exact."""
        self._blocks[block].add(number)

    def lose(self, block: Block, number: int) -> None:
        self._blocks[block].discard(number)

    def _containing(self, prefix: Network) -> list[Block]:
        shelves = [self._by_prefix.get(each, {}) for each in self.networks.covering(prefix)]
        return [block for shelf in shelves for block in shelf if prefix in block]


def _key(network: Network) -> tuple[int, int, int]:
    length = network.prefixlen
    return network.version, length, int(network.network_address) >> (network.max_prefixlen - length)
