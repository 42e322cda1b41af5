"""Tracking: the two conntrack maps as people ask for them: listed and forgotten, all or some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy.typing as npt

from ringfence.agent.connections import Clock, connections
from ringfence.api import shapes
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.syscall import prog_test_run
from ringfence.datapath.untold import all_knobs, timeouts
from ringfence.engine.known import Known
from ringfence.flow.connections import ConnectionFilter

CONNTRACK: Final = ("ct4", "ct6")


class Tracking:
    """`ct4` and `ct6` of a loaded object. Methods read whole maps: to be called from a thread.

    `knobs` are those the object was loaded with; `rule_at` gives the rule number that a record names now.
    """

    def __init__(self, loaded: LoadedObject, knobs: Mapping[str, int], rule_at: Callable[[int], int]) -> None:
        self._maps = {name: loaded.maps[name] for name in CONNTRACK}
        self._jiffies = loaded.programs["read_jiffies"]
        self._knobs = all_knobs(knobs)
        self._rule_at = rule_at

    def listed(self, known: Known, wanted: ConnectionFilter) -> list[shapes.ConnectionShape]:
        """The connections that are wanted."""
        clock = Clock(prog_test_run(self._jiffies).retval, self._knobs["jiffies_per_second"])
        found: list[shapes.ConnectionShape] = []
        for bpf_map in self._maps.values():
            keys, entries = bpf_map.dump()
            mask = wanted.mask(keys, entries, known)
            keys, entries = keys[mask], entries[mask]
            limits = timeouts(keys["protocol"], entries["state"], self._knobs)
            found += connections(keys, entries, limits // clock.rate, clock, known, self._rule_at)
        return found

    def forget(self, known: Known, wanted: ConnectionFilter) -> int:
        """Forget the connections that are wanted, how many there were. What comes after they were read stays."""
        forgotten = 0
        for bpf_map in self._maps.values():
            keys, entries = bpf_map.dump()
            forgotten += bpf_map.delete_batch(keys[wanted.mask(keys, entries, known)])
        return forgotten

    def adopt(self, name: str, keys: npt.NDArray[Any], entries: npt.NDArray[Any]) -> None:
        """Take over the connections of an earlier object, in the map of that name."""
        self._maps[name].update_batch(keys, entries)
