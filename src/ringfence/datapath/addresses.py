"""Address prefixes as keys of the two ipcache maps, there and back.

Whole addresses are keys of `ipcache_exact` (IPv4 mapped into ::ffff:0:0/96), shorter ones of the LPM trie `ipcache`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import IPCACHE_EXACT_KEY, IPCACHE_KEY

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_MAPPED: Final = bytes(10) + b"\xff\xff"
_FAMILY_BITS: Final = 32


def is_whole(network: Network) -> bool:
    """Whether a prefix is one address."""
    return network.prefixlen == network.max_prefixlen


def mapped(address: Address) -> bytes:
    """Sixteen bytes for an address of either family."""
    return address.packed if address.version == 6 else _MAPPED + address.packed


def unmapped(packed: bytes) -> Address:
    """The address that sixteen bytes stand for."""
    return ip_address(packed[12:]) if packed[:12] == _MAPPED else ip_address(packed)


def exact_keys(networks: list[Network]) -> NDArray[Any]:
    """Rows of IPCACHE_EXACT_KEY for whole addresses."""
    packed = b"".join(mapped(network.network_address) for network in networks)
    return np.frombuffer(packed, IPCACHE_EXACT_KEY)


def prefix_keys(networks: list[Network]) -> NDArray[Any]:
    """Rows of IPCACHE_KEY for prefixes."""
    keys = np.zeros(len(networks), IPCACHE_KEY)
    for key, network in zip(keys, networks, strict=True):
        packed = network.network_address.packed
        key["prefix_length"] = _FAMILY_BITS + network.prefixlen
        key["family"] = network.version
        key["address"][: len(packed)] = np.frombuffer(packed, np.uint8)
    return keys


def exact_network(key: Any) -> Network:
    """The whole address that a row of IPCACHE_EXACT_KEY is."""
    return ip_network(unmapped(key["address"].tobytes()))


def prefix_network(key: Any) -> Network:
    """The prefix that a row of IPCACHE_KEY is."""
    size = 4 if key["family"] == 4 else 16
    return ip_network((key["address"].tobytes()[:size], int(key["prefix_length"]) - _FAMILY_BITS))
