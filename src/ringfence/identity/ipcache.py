"""The ipcache: what is known of an address, as the datapath's longest-prefix map will hold it.

It is made of two inputs: assignments (an address of an endpoint or node, a configured prefix of workloads -> identity)
and the policy prefixes. An assigned prefix has its assigned identity and so has every policy prefix inside it: a rule
about an outside range does not mean the workloads in it. Every entry has its prefix class besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ringfence.identity.prefixes import Address, Network, NetworkSet, PrefixTable, host_network
from ringfence.identity.reserved import Reserved


class Known(NamedTuple):
    """What the ipcache says of an address."""

    identity: int
    prefix_class: int


#: What an address is of which nothing is known.
UNKNOWN_ADDRESS = Known(Reserved.WORLD, 0)


class Ipcache:
    """The wanted content of the ipcache, kept exact as assignments and policy prefixes come and go."""

    def __init__(self, prefixes: PrefixTable) -> None:
        self._prefixes = prefixes
        self._assigned: dict[Network, int] = {}
        self._assigned_networks = NetworkSet()
        self._entries: dict[Network, Known] = {}
        self._networks = NetworkSet()
        self._before: dict[Network, Known | None] = {}

    def assign(self, network: Network, identity: int) -> None:
        """Say whose addresses these are."""
        self._assigned[network] = identity
        self._assigned_networks.add(network)
        self._refresh([network, *self._prefixes.networks.inside(network)])

    def unassign(self, network: Network) -> None:
        del self._assigned[network]
        self._assigned_networks.remove(network)
        self._refresh([network, *self._prefixes.networks.inside(network)])

    def prefix_changed(self, prefix: Network) -> None:
        """A policy prefix has come or gone: its own entry and the classes of the addresses inside it may be others."""
        self._refresh([prefix, *self._assigned_networks.inside(prefix)])

    def assigned(self, network: Network) -> int | None:
        return self._assigned.get(network)

    def lookup(self, address: Address) -> Known:
        """The datapath's look-up: the longest prefix decides, an address without one is the world's."""
        longest = self._networks.longest(host_network(address))
        return UNKNOWN_ADDRESS if longest is None else self._entries[longest]

    def get(self, network: Network) -> Known | None:
        return self._entries.get(network)

    def items(self) -> Iterator[tuple[Network, Known]]:
        return iter(self._entries.items())

    def take_changes(self) -> dict[Network, Known | None]:
        """The entries that are others than at the last call, None for one that is gone."""
        before, self._before = self._before, {}
        return {each: self._entries.get(each) for each, old in before.items() if self._entries.get(each) != old}

    def _refresh(self, networks: Iterable[Network]) -> None:
        for network in networks:
            wanted = self._wanted(network)
            self._before.setdefault(network, self._entries.get(network))
            if wanted is not None:
                self._entries[network] = wanted
                self._networks.add(network)
            elif self._entries.pop(network, None):
                self._networks.remove(network)

    def _wanted(self, network: Network) -> Known | None:
        if network not in self._assigned and network not in self._prefixes.networks:
            return None
        owner = self._assigned_networks.longest(network)
        identity = self._prefixes.number(network) if owner is None else self._assigned[owner]
        return Known(identity, self._prefixes.class_of(network))
