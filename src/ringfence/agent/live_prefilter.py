"""The real prefilter: the list in the loaded object's map, and its XDP program on interfaces of this namespace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ringfence.datapath import xdp
from ringfence.datapath.addresses import Network
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.prefilter import Listed, PrefilterTable

_PROGRAM = "from_outside"


class LivePrefilter:
    """The prefilter of one loaded object, whose pins are in `directory`."""

    def __init__(self, loaded: LoadedObject, directory: Path) -> None:
        self._table = PrefilterTable(loaded.maps)
        self._loaded = loaded
        self._directory = directory

    @property
    def in_force(self) -> bool:
        return self._table.in_force

    def listed(self) -> list[Listed]:
        return self._table.listed()

    def add(self, networks: Sequence[Network]) -> list[Network]:
        return self._table.add(networks)

    def delete(self, networks: Sequence[Network]) -> list[Network]:
        return self._table.delete(networks)

    def replace(self, networks: Sequence[Network]) -> None:
        self._table.replace(networks)

    def guarded(self) -> list[int]:
        return list(xdp.pinned(self._directory))

    def guard(self, ifindex: int) -> str:
        return str(xdp.ensure(self._loaded.programs[_PROGRAM], ifindex, self._directory))

    def unguard(self, ifindex: int) -> None:
        xdp.remove(ifindex, self._directory)
