"""Reading back: the whole policy state as the kernel has it, from the maps themselves and not from what was written.

Nothing is believed: a row number may lead anywhere, a key may be one that no writer of ours would make. What a map says
is what the datapath would find in it at the active revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.datapath import slots
from ringfence.datapath.addresses import Network, exact_network, is_whole, prefix_network
from ringfence.datapath.syscall import BpfMap
from ringfence.datapath.tables import read_policy_keys
from ringfence.engine.commands import Peer
from ringfence.policy.mapstate import PolicyKey

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class RowRead:
    """A row of the `endpoints` array."""

    ifindex: int
    id: int
    delivery: int
    aggregation: int
    mac: bytes
    host_mac: bytes


@dataclass(frozen=True, slots=True)
class Readback:
    """What the maps say at a revision. Where a number is 0 and where a prefix has identity 0, they say nothing.

    `entries` maps keys to rule numbers and `records` to their rows; `rules` has precedence, verdict and reason of every
    number that an entry names. `misplaced` are keys of the ipcache maps that cannot be met there, or are no prefixes.
    `ahead` counts the slots of revisions to come, by array.
    """

    revision: int
    entries: Mapping[PolicyKey, int]
    records: Mapping[PolicyKey, int]
    rules: Mapping[int, tuple[int, int, int]]
    prefixes: Mapping[Network, Peer]
    misplaced: tuple[str, ...]
    shapes: Shapes
    endpoints: Mapping[int, RowRead]
    interfaces: Mapping[int, int]
    ahead: Mapping[str, int]


def read_back(maps: Mapping[str, BpfMap]) -> Readback:
    """Read all of it. A commit meanwhile moves the revision: what was read is then a mixture."""
    revision = int(maps[".data.revision"].mmap_array()["active_revision"][0])
    keys, rows = maps["policy"].dump()
    records = maps["policy_records"].mmap_array()["rule"]
    numbers = _said(records, rows, revision).tolist()
    read = read_policy_keys(keys)
    prefixes, misplaced = _prefixes(maps, revision)
    endpoints, (interfaces, owners) = maps["endpoints"].mmap_array(), maps["interfaces"].dump()
    return Readback(
        revision=revision,
        entries=dict(zip(read, numbers, strict=True)),
        records=dict(zip(read, rows.tolist(), strict=True)),
        rules=_rules(maps["rules"].mmap_array(), numbers),
        prefixes=prefixes,
        misplaced=misplaced,
        shapes=tuple(map(tuple, maps[".data.shapes"].mmap_array()["live_shapes"][0].tolist())),
        endpoints={int(row): _row(endpoints[row]) for row in np.flatnonzero(endpoints["ifindex"])},
        interfaces=dict(zip(interfaces.tolist(), owners.tolist(), strict=True)),
        ahead={name: _ahead(maps[name].mmap_array(), revision) for name in ("policy_records", "peer_records")},
    )


def _said(column: NDArray[Any], rows: NDArray[np.uint32], revision: int) -> NDArray[np.uint32]:
    """What rows of a slotted column say; a row beyond the array says nothing, as the datapath's look-up fails."""
    there = rows < len(column)
    said = np.zeros(len(rows), np.uint32)
    said[there] = slots.values(column[rows[there]], revision)
    return said


def _rules(array: NDArray[Any], numbers: list[int]) -> dict[int, tuple[int, int, int]]:
    named = sorted({number for number in numbers if 0 < number < len(array)})
    rows = array[named]
    columns = (rows[name].tolist() for name in ("precedence", "verdict", "reason"))
    return dict(zip(named, zip(*columns, strict=True), strict=True))


def _prefixes(maps: Mapping[str, BpfMap], revision: int) -> tuple[dict[Network, Peer], tuple[str, ...]]:
    array = maps["peer_records"].mmap_array()
    found: dict[Network, Peer] = {}
    misplaced: list[str] = []
    for name, decode in (("ipcache", prefix_network), ("ipcache_exact", exact_network)):
        keys, rows = maps[name].dump()
        columns = (_said(array[field], rows, revision).tolist() for field in Peer._fields)
        for key, peer in zip(keys, map(Peer._make, zip(*columns, strict=True)), strict=True):
            try:
                network = decode(key)
            except ValueError:
                misplaced.append(f"{name}: {key.tobytes().hex()}")
                continue
            if is_whole(network) != (name == "ipcache_exact"):
                misplaced.append(f"{name}: {network}")
            else:
                found[network] = peer
    return found, tuple(misplaced)


def _row(row: Any) -> RowRead:
    return RowRead(
        ifindex=int(row["ifindex"]),
        id=int(row["id"]),
        delivery=int(row["delivery"]),
        aggregation=int(row["aggregation"]),
        mac=row["mac"].tobytes(),
        host_mac=row["host_mac"].tobytes(),
    )


def _ahead(array: NDArray[Any], revision: int) -> int:
    """How many slots of an array are newer than a revision."""
    names = [name for name in array.dtype.names or () if name != "pad"]
    return sum(int(np.count_nonzero((array[name] >> np.uint64(32)) > np.uint64(revision))) for name in names)
