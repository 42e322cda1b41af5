"""Columns: questions asked of a whole batch at once. Names are looked up once for each distinct number, not a row."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import numpy as np
import numpy.typing as npt

from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names

Mask = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]
_MAPPED_BITS = 96


@dataclass(frozen=True, slots=True)
class Batch:
    """Events with the names of their numbers. The distinct numbers of a column are found once, whoever asks."""

    events: Events
    names: Names
    _distinct: dict[str, tuple[list[int], npt.NDArray[np.intp]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, column: str) -> Column:
        return self.events[column]

    def where(self, column: str, meant: Callable[[int], bool]) -> Mask:
        """Rows whose number in a column is meant."""
        found = self._distinct.get(column)
        if found is None:
            numbers, place = np.unique(self.events[column], return_inverse=True)
            found = self._distinct[column] = numbers.tolist(), place
        return np.fromiter(map(meant, found[0]), bool, len(found[0]))[found[1]]

    def nowhere(self) -> Mask:
        """No row."""
        return np.zeros(len(self.events), bool)


def is_in(column: Column, numbers: Collection[int]) -> Mask:
    """Rows whose number is one of these."""
    if len(numbers) == 1:
        return np.asarray(column == next(iter(numbers)))
    return np.isin(column, list(numbers))


def in_network(addresses: Column, network: IPv4Network | IPv6Network) -> Mask:
    """Rows whose address, sixteen bytes with IPv4 mapped into ::ffff:0:0/96, is in a prefix."""
    mapped = network.version == 4
    prefix = network.prefixlen + (_MAPPED_BITS if mapped else 0)
    base = (0xFFFF << 32) | int(network.network_address) if mapped else int(network.network_address)
    bits = ((1 << prefix) - 1) << (128 - prefix)
    # Two words compare ten times as fast as sixteen bytes.
    words = np.ascontiguousarray(addresses).view(np.uint64)
    (mask, mask2), (want, want2) = (np.frombuffer(n.to_bytes(16, "big"), np.uint64) for n in (bits, base))
    return np.asarray(((words[:, 0] & mask) == want) & ((words[:, 1] & mask2) == want2))
