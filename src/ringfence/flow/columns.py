"""Columns: questions asked of a whole batch at once. Names are looked up once for each distinct number, not a row."""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]
_MAPPED_BITS = 96


def nowhere(length: int) -> Mask:
    """No row of so many."""
    return np.zeros(length, bool)


def is_in(column: Column, numbers: Collection[int]) -> Mask:
    """Rows whose number is one of these."""
    if len(numbers) == 1:
        return np.asarray(column == next(iter(numbers)))
    return np.isin(column, list(numbers))


def where(column: Column, meant: Callable[[int], bool]) -> Mask:
    """Rows whose number is meant."""
    numbers, place = np.unique(column, return_inverse=True)
    return np.fromiter(map(meant, numbers.tolist()), bool, len(numbers))[place]


def where_pair(first: Column, second: Column, meant: Callable[[int, int], bool]) -> Mask:
    """Rows whose two numbers, of 32 bits each, are meant together."""
    pairs = first.astype(np.uint64) << np.uint64(32) | second.astype(np.uint64)
    return where(pairs, lambda pair: meant(pair >> 32, pair & 0xFFFFFFFF))


def in_network(addresses: Column, network: IPv4Network | IPv6Network) -> Mask:
    """Rows whose address, sixteen bytes with IPv4 mapped into ::ffff:0:0/96, is in a prefix."""
    mapped = network.version == 4
    prefix = network.prefixlen + (_MAPPED_BITS if mapped else 0)
    base = (0xFFFF << 32) | int(network.network_address) if mapped else int(network.network_address)
    bits = ((1 << prefix) - 1) << (128 - prefix)
    mask, want = (np.frombuffer(n.to_bytes(16, "big"), np.uint8) for n in (bits, base))
    return np.asarray(((addresses & mask) == want).all(axis=1))
