"""What is known of a map or a knob before any kernel is asked: the entries of the generated `MAPS` and `KNOBS`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np


class MapType(IntEnum):
    """BPF_MAP_TYPE_*, by their numbers in linux/bpf.h; those that the object may use."""

    HASH = 1
    ARRAY = 2
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    RINGBUF = 27

    @property
    def per_cpu(self) -> bool:
        """Whether an element has a value for each possible CPU."""
        return self in (MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH)

    @property
    def array(self) -> bool:
        """Whether keys are row numbers and every row always exists."""
        return self in (MapType.ARRAY, MapType.PERCPU_ARRAY, MapType.ARRAY_OF_MAPS)


BPF_F_MMAPABLE: Final = 1 << 10


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map's definition. `key` and `value` are None where the type has none (a ring buffer)."""

    name: str
    type: MapType
    key: np.dtype[Any] | None
    value: np.dtype[Any] | None
    max_entries: int
    flags: int

    @classmethod
    def of_section(cls, name: str, value: np.dtype[Any]) -> MapSpec:
        """A `.data` section: an array of one row whose fields are the section's variables."""
        return cls(name, MapType.ARRAY, np.dtype("<u4"), value, 1, BPF_F_MMAPABLE)


@dataclass(frozen=True, slots=True)
class Knob:
    """A setting that the loader fixes before the object is loaded."""

    name: str
    dtype: np.dtype[Any]
    default: int
    description: str
