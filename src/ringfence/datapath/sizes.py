"""Sizes: which maps a person may size, and which others have to be of the same size."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Final

from ringfence.errors import BadInput

# A key's row is the same in all maps of a group.
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "policy": ("policy", "policy_records", "record_hits"),
    "ipcache": ("ipcache", "ipcache_exact", "peer_records"),
    "ct4": ("ct4",),
    "ct6": ("ct6",),
    "fragments": ("fragments",),
    "services": ("services", "service_records"),
    "service_tables": ("service_tables",),
    "backends": ("backends",),
    "affinities": ("affinities",),
    "source_ranges": ("source_ranges",),
    "prefilter": ("prefilter",),
    "events": ("events",),
}
SIZEABLE: Final = tuple(_GROUPS)
_LEAST: Final = 64
_MOST: Final = 1 << 24
_MOST_RING_BYTES: Final = 1 << 30
# Conntrack entries and events name a service by 16 bits.
_MOST_OF: Final[Mapping[str, int]] = {"services": 1 << 16}


def whole_sizes(asked: Mapping[str, int]) -> dict[str, int]:
    """The sizes of all maps, from those that were asked for. Raises `BadInput` for what cannot be had."""
    for name, size in asked.items():
        if name not in _GROUPS:
            raise BadInput(f"the size of map {name!r} is fixed; maps with a size: {', '.join(SIZEABLE)}")
        if name == "events" and (size & (size - 1) or not mmap.PAGESIZE <= size <= _MOST_RING_BYTES):
            raise BadInput(f"the size of map events is {size} bytes; expected a power of two from {mmap.PAGESIZE}")
        most = _MOST_OF.get(name, _MOST)
        if name != "events" and not _LEAST <= size <= most:
            raise BadInput(f"the size of map {name} is {size}; expected {_LEAST} to {most} entries")
    return {member: size for name, size in asked.items() for member in _GROUPS[name]}
