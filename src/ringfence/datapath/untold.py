"""What no packet tells any more: denials held back of flows that have fallen silent, and ends of connections whose time
has run out. User space finds where there may be something; the programs look again and write the events.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import CT6_KEY, END_REQUEST, KNOBS, CtState
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.syscall import prog_test_run
from ringfence.traffic import Protocol

_TICKS: Final = 1 << 32
_FIN, _RST = 1, 4


class HeldBack:
    """The rows of `denial_limits`, over all CPUs."""

    def __init__(self, loaded: LoadedObject) -> None:
        self._program = loaded.programs["tell_held_back"]
        self._limits = loaded.maps["denial_limits"]
        self._tally = loaded.maps["event_tally"]
        self._looked_at = -1

    def tell(self) -> int:
        """Have told what rows hold back whose flows were silent for a second; how many rows there were.

        Reads the whole map, but only after something was held back. Waits for the kernel: to be called from a thread.
        """
        held_back = int(self._tally.lookup(0)["held_back"])
        if held_back == self._looked_at:
            return 0
        held = self._limits.dump_by_cpu()[1]["held_packets"]
        places = list(zip(*(axis.tolist() for axis in np.nonzero(held)), strict=True))
        told = sum(self._tell(row, cpu) for row, cpu in places)
        # Of what is left some flow is not silent yet: then there is another look.
        self._looked_at = held_back if told == len(places) else -1
        return told

    def _tell(self, row: int, cpu: int) -> int:
        return prog_test_run(self._program, context=struct.pack("<II", row, cpu)).retval


class Ends:
    """The connections of `ct4` and `ct6` that have ended by time. `knobs` are those the object was loaded with."""

    def __init__(self, loaded: LoadedObject, knobs: Mapping[str, int]) -> None:
        self._program = loaded.programs["tell_end"]
        self._jiffies = loaded.programs["read_jiffies"]
        self._maps = {4: loaded.maps["ct4"], 6: loaded.maps["ct6"]}
        self._knobs = all_knobs(knobs)

    def tell(self, limit: int = 20_000) -> int:
        """Have the ends told of connections that no packet will show, at most so many; how many were.

        Reads both maps. Waits for the kernel: to be called from a thread.
        """
        return sum(self._tell_family(family, limit) for family in self._maps)

    def _tell_family(self, family: int, limit: int) -> int:
        keys, entries = self._maps[family].dump()
        over = np.flatnonzero(self._idle(keys["protocol"], entries) & ~_shown(entries))[:limit]
        requests = np.zeros(len(over), END_REQUEST)
        requests["family"] = family
        # Of an IPv4 key the bytes stand at the beginning.
        wide = requests["key"].view(np.uint8).reshape(len(over), CT6_KEY.itemsize)
        wide[:, : keys.dtype.itemsize] = keys[over].view(np.uint8).reshape(len(over), keys.dtype.itemsize)
        requests["key"] = wide.reshape(-1).view(CT6_KEY)
        return sum(prog_test_run(self._program, context=request.tobytes()).retval for request in requests)

    def alive(self, keys: NDArray[Any], entries: NDArray[Any]) -> int:
        """How many of some connections have not ended, by a packet or by their time."""
        return int(np.count_nonzero(~self._idle(keys["protocol"], entries) & ~_shown(entries)))

    def _idle(self, protocols: NDArray[Any], entries: NDArray[Any]) -> NDArray[np.bool_]:
        """Whose time seems to have run out: only a choice of whom to ask about, the program decides."""
        now = prog_test_run(self._jiffies).retval
        idle = (now - entries["last_seen"].astype(np.int64)) % _TICKS
        return np.asarray(idle > timeouts(protocols, entries["state"], self._knobs))


def _shown(entries: NDArray[Any]) -> NDArray[np.bool_]:
    """Whose end a packet has shown, or was told of."""
    forth, back = entries["tcp_flags"][:, 0], entries["tcp_flags"][:, 1]
    told = (entries["state"] & CtState.TOLD) | ((forth | back) & _RST) | (forth & back & _FIN)
    return np.asarray(told != 0)


def all_knobs(given: Mapping[str, int]) -> dict[str, int]:
    """The value of every knob, where some were given."""
    return {name: knob.default for name, knob in KNOBS.items()} | dict(given)


def timeouts(protocols: NDArray[Any], states: NDArray[Any], knobs: Mapping[str, int]) -> NDArray[np.int64]:
    """How long connections are remembered without a packet, in jiffies. The programs' `ct_timeout` decides; this is
    for choosing whom to ask about, and for people.
    """
    tcp = np.where(states & (CtState.REPLIED | CtState.RECREATED), knobs["ct_timeout_tcp"], knobs["ct_timeout_tcp_syn"])
    tcp = np.where(states & CtState.CLOSING, knobs["ct_timeout_tcp_closing"], tcp)
    chosen = np.where(protocols == Protocol.TCP, tcp, knobs["ct_timeout_any"])
    return np.asarray(chosen.astype(np.int64) * knobs["jiffies_per_second"])
