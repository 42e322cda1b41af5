"""Services read back: frontends and backends as the maps have them at the active revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, NamedTuple

import numpy as np

from ringfence.abi import BackendState, ServiceFlag, ServiceTableWord
from ringfence.datapath.addresses import Network, unmapped
from ringfence.datapath.services import read_service_key
from ringfence.datapath.slots import values
from ringfence.datapath.syscall import BpfMap
from ringfence.service.row import Backend, Frontend

_RANGE_BITS = 64
_SAID = (ServiceTableWord.FLAGS, ServiceTableWord.AFFINITY, ServiceTableWord.GROUP)


class BackendFound(NamedTuple):
    """A row of `backends`."""

    row: int
    backend: Backend
    group: int
    state: BackendState


class FrontendFound(NamedTuple):
    """A frontend with its table. `picks`: how many entries name each backend's row."""

    row: int
    frontend: Frontend
    flags: ServiceFlag | int
    affinity: int
    group: int
    picks: Mapping[int, int]
    source_ranges: tuple[Network, ...]


def read_backends(maps: Mapping[str, BpfMap]) -> list[BackendFound]:
    """Every backend that is not absent."""
    array: Any = maps["backends"].mmap_array()
    states = values(array["state"], _revision(maps))
    return [
        BackendFound(
            row,
            Backend(unmapped(array["address"][row].tobytes()), int(array["port"][row])),
            int(array["group"][row]),
            BackendState(int(states[row])),
        )
        for row in np.flatnonzero(states).tolist()
    ]


def read_frontends(maps: Mapping[str, BpfMap]) -> list[FrontendFound]:
    """Every frontend that leads somewhere, or says that a port is none."""
    keys, rows = maps["services"].dump()
    begins = values(maps["service_records"].mmap_array()["table"], _revision(maps))
    words: Any = maps["service_tables"].mmap_array()
    ranges = _source_ranges(maps["source_ranges"])
    found = []
    for key, row in zip(keys, rows.tolist(), strict=True):
        begin = int(begins[row])
        if begin:
            table = words[begin + ServiceTableWord.ENTRIES :][: int(words[begin + ServiceTableWord.COUNT])]
            flags, affinity, group = (int(words[begin + at]) for at in _SAID)
            allowed = tuple(sorted(ranges.get(begin, ()), key=str))
            picks = Counter[int](table.tolist())
            found.append(FrontendFound(row, read_service_key(key), flags, affinity, group, picks, allowed))
    return sorted(found, key=lambda each: (each.frontend.address.version, each.frontend))


def _revision(maps: Mapping[str, BpfMap]) -> int:
    return int(maps[".data.revision"].mmap_array()["active_revision"][0])


def _source_ranges(trie: BpfMap) -> dict[int, list[Network]]:
    """By the table they are of."""
    found: dict[int, list[Network]] = {}
    for key in trie.dump()[0]:
        size = 4 if key["family"] == 4 else 16
        network = ip_network((key["address"].tobytes()[:size], int(key["prefix_length"]) - _RANGE_BITS))
        found.setdefault(int(key["table"]), []).append(network)
    return found
