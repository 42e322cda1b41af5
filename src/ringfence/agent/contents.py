"""Contents: the maps of the loaded object as they are: how full, every element decoded, and one written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ringfence.abi import MAPS
from ringfence.abi.spec import BPF_F_MMAPABLE, MapSpec
from ringfence.agent.decoding import Decoder, occupied
from ringfence.agent.encoding import encoded_key, encoded_value
from ringfence.api import shapes
from ringfence.api.inspected import Element, ElementChanged
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.rings import OUTER, EventRings
from ringfence.datapath.syscall import BpfMap
from ringfence.engine.known import Known
from ringfence.errors import BadInput, NotFound, RingfenceError

_SCRATCH: Final = "_scratch"  # ends the names of the programs' own, of the packet they judged last


class Contents:
    """The maps of a loaded object. `ring` is the rings' reader; `failures` are the writes that the programs could not
    make, by map.
    """

    def __init__(self, loaded: LoadedObject, ring: EventRings, failures: Callable[[], Mapping[str, int]]) -> None:
        self._loaded = loaded
        self._maps = loaded.maps
        self._ring = ring
        self._failures = failures

    def listed(self) -> list[shapes.MapShape]:
        """All maps and how full they are."""
        failures = self._failures()
        known = {name: summary(name, bpf_map) for name, bpf_map in sorted(self._maps.items())}
        for name, shape in known.items():
            shape["errors"] += failures.get(name, 0)
        size = sum(ring.max_entries for ring in self._loaded.rings)
        known[OUTER] |= {"type": "ringbuf", "entries": None, "max_entries": size, "key_bytes": 0, "value_bytes": 0}
        known[OUTER]["pressure"] = round(sum(self._ring.pending) / size, 6)
        return list(known.values())

    def dump(self, name: str, known: Known) -> shapes.MapDump:
        """The elements of a map; of an array, those that are not all zero. Raises `NotFound`."""
        bpf_map = self._named(name)
        if name == OUTER:
            return {"name": name, "rows": self._ring_rows()}
        return {"name": name, "rows": elements(bpf_map, known)}

    def write(self, name: str, element: Element, known: Known) -> ElementChanged:
        """Write an element by hand, past everything that the agent knows. Raises `BadInput`, `NotFound`."""
        if "value" not in element:
            raise BadInput("no value to write")
        bpf_map = self._written(name)
        key = encoded_key(bpf_map.spec, element["key"])
        before = _there(bpf_map, key)
        value = encoded_value(bpf_map.spec, element["value"], before)
        try:
            bpf_map.update(key, value)
        except OSError as error:
            raise RingfenceError(f"map {name}: the kernel refuses the element: {error}") from error
        return _changed(bpf_map, key, before, known)

    def delete(self, name: str, element: Element, known: Known) -> ElementChanged:
        """Delete an element by hand, past everything that the agent knows. Raises `BadInput`, `NotFound`."""
        bpf_map = self._written(name)
        if bpf_map.spec.type.array:
            raise BadInput(f"map {name} is an array: its rows cannot be deleted; set their fields to 0")
        key = encoded_key(bpf_map.spec, element["key"])
        before = _there(bpf_map, key)
        if not bpf_map.delete(key):
            raise NotFound(f"map {name} has no such element; its elements: ringfence bpf map dump {name}")
        return _changed(bpf_map, key, before, known)

    def _named(self, name: str) -> BpfMap:
        found = self._maps.get(name) or self._maps.get(f".{name}")
        if found is None:
            raise NotFound(f"there is no map {name!r}; there are: {', '.join(sorted(MAPS))}")
        return found

    def _written(self, name: str) -> BpfMap:
        """A map that can be written by hand. Raises `BadInput` for one whose elements are not values of fields."""
        found = self._named(name)
        if name == OUTER or name.endswith(_SCRATCH) or (found.spec.type.per_cpu and not found.counts):
            raise BadInput(f"map {name} cannot be written by hand: each CPU has its own elements, or it is a ring")
        return found

    def _ring_rows(self) -> list[shapes.MapRow]:
        """One ring a CPU. Its records are for its reader alone; what waits for it is told in bytes."""
        found = zip(self._loaded.rings, self._ring.pending, strict=True)
        return [
            {"key": cpu, "value": {"map_id": ring.info.id, "bytes": ring.max_entries, "unread_bytes": unread}}
            for cpu, (ring, unread) in enumerate(found)
        ]


def _there(bpf_map: BpfMap, key: Any) -> Any:
    try:
        return bpf_map.lookup(key)
    except OSError as error:
        raise BadInput(f"map {bpf_map.spec.name} has no such place: {error}") from error


def _changed(bpf_map: BpfMap, key: Any, before: Any, known: Known) -> ElementChanged:
    decoder, after = Decoder(bpf_map.spec, known), bpf_map.lookup(key)
    was, now = (None if each is None else decoder.value(each) for each in (before, after))
    return {"map": bpf_map.spec.name, "key": decoder.value(key), "before": was, "after": now}


def summary(name: str, bpf_map: BpfMap) -> shapes.MapShape:
    """A map and how full it is."""
    spec, entries = bpf_map.spec, _count(bpf_map)
    return {
        "name": name,
        "type": spec.type.name.lower(),
        "entries": entries,
        "max_entries": bpf_map.max_entries,
        "pressure": round(entries / bpf_map.max_entries, 6) if _fills_up(spec) else None,
        "errors": bpf_map.errors,
        "key_bytes": spec.key.itemsize if spec.key is not None else 0,
        "value_bytes": spec.value.itemsize if spec.value is not None else 0,
    }


def _fills_up(spec: MapSpec) -> bool:
    """Whether elements come and go: not those of an array of counters, or the variables of a section."""
    if not spec.type.array:
        return True
    return bool(spec.flags & BPF_F_MMAPABLE) and not spec.name.startswith(".")


def elements(bpf_map: BpfMap, known: Known) -> list[shapes.MapRow]:
    """All elements, decoded; of an array, those that are not all zero."""
    if bpf_map.spec.type.per_cpu and not bpf_map.counts:
        return _rows_by_cpu(bpf_map, known)
    keys, values = _rows(bpf_map)
    if bpf_map.spec.type.array:
        chosen = occupied(values)
        keys, values = keys[chosen], values[chosen]
    return Decoder(bpf_map.spec, known).rows(keys, values)


def _count(bpf_map: BpfMap) -> int:
    keys, values = _rows(bpf_map)
    return len(occupied(values)) if bpf_map.spec.type.array else len(keys)


def _rows_by_cpu(bpf_map: BpfMap, known: Known) -> list[shapes.MapRow]:
    """Values that have no sum over the CPUs, each with the row and CPU that it is of."""
    if bpf_map.spec.name.endswith(_SCRATCH):
        return []
    keys, values = bpf_map.dump_by_cpu()
    found: list[shapes.MapRow] = []
    for cpu in range(values.shape[1]):
        chosen = occupied(values[:, cpu])
        rows = Decoder(bpf_map.spec, known).rows(keys[chosen], values[chosen, cpu])
        found += [{"key": {"row": row["key"], "cpu": cpu}, "value": row["value"]} for row in rows]
    return found


def _rows(bpf_map: BpfMap) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """All elements; those of an array that is mapped are read where they lie."""
    if not bpf_map.spec.flags & BPF_F_MMAPABLE:
        return bpf_map.dump()
    values = bpf_map.mmap_array()
    return np.arange(len(values), dtype=np.uint32), values
