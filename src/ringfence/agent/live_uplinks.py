"""The real uplinks: TC programs of the loaded object on interfaces here, and the maps of source translation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ringfence.datapath import attach
from ringfence.datapath.addresses import Address, Network
from ringfence.datapath.interfaces import addresses_of
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.snat import SnatTable, Translation


class LiveUplinks:
    """The uplinks of one loaded object, whose pins are in `directory`."""

    def __init__(self, loaded: LoadedObject, directory: Path, mechanism: attach.Mechanism | None) -> None:
        self._table = SnatTable(loaded.maps)
        self._loaded = loaded
        self._directory = directory
        self._mechanism = mechanism

    def attached(self) -> list[int]:
        return list(self._table.uplinks())

    def addresses(self, ifindex: int) -> list[Address]:
        return addresses_of(ifindex)

    def attach(self, ifindex: int, seen_by: Sequence[Address]) -> str:
        # The addresses first: what leaves by a program without them would leave untranslated.
        self._table.set_uplink(ifindex, seen_by)
        if attach.programs_ok(self._loaded, ifindex, attach.AT_UPLINK):
            return "+".join(sorted({str(each.mechanism) for each in attach.query(ifindex)}))
        return str(attach.attach(self._loaded, ifindex, self._directory, self._mechanism, attach.AT_UPLINK))

    def detach(self, ifindex: int) -> None:
        attach.detach(ifindex, self._directory)
        self._table.remove_uplink(ifindex)

    def exclude(self, networks: Sequence[Network]) -> None:
        self._table.exclude(networks)

    def flows(self) -> list[Translation]:
        return self._table.flows()

    def forget(self, wanted: Callable[[Translation], bool]) -> int:
        return self._table.forget(wanted)

    def adopt(self, keys: NDArray[Any], entries: NDArray[Any]) -> None:
        """Take over the flows of another object."""
        self._table.adopt(keys, entries)
