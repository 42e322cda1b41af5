"""The prefilter's list of prefixes: read, changed, and replaced whole by one store.

The list in force is the one whose number the programs read. Another list is written beside it under the next number, so
a packet is looked up in the old one or in the new one, never in half of it.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import COUNTER, PREFILTER_KEY
from ringfence.datapath.addresses import Network
from ringfence.datapath.rows import MapFullError
from ringfence.datapath.syscall import NOEXIST, BpfMap

_KEY: Final = struct.Struct("<IHH16s")
_HEAD_BITS: Final = 32
_MOST_LISTS: Final = 1 << 16
_ROWS: Final = 65536  # written at a time: between two of them there is time for others


class Listed(NamedTuple):
    """A prefix of the list as text, and what it has dropped since it was written."""

    prefix: str
    packets: int
    bytes: int


def prefilter_keys(networks: Iterable[Network], number: int) -> NDArray[Any]:
    """Rows of PREFILTER_KEY for the list of a number."""
    packed = (
        _KEY.pack(_HEAD_BITS + each.prefixlen, number, each.version, each.network_address.packed) for each in networks
    )
    return np.frombuffer(b"".join(packed), PREFILTER_KEY)


def read_prefilter_keys(keys: NDArray[Any]) -> Iterator[str]:
    """The prefixes that rows of PREFILTER_KEY are, as texts: an `ip_network` each would take twenty times as long."""
    for bits, _number, version, address in _KEY.iter_unpack(keys.tobytes()):
        family, size = (AF_INET, 4) if version == 4 else (AF_INET6, 16)
        yield f"{inet_ntop(family, address[:size])}/{bits - _HEAD_BITS}"


class PrefilterTable:
    """The writer of `prefilter` and of the number in force. Methods may take seconds for a million prefixes."""

    def __init__(self, maps: Mapping[str, BpfMap]) -> None:
        self._map = maps["prefilter"]
        self._word = maps[".data.prefilter"].mmap_array()["prefilter_list"]

    @property
    def _number(self) -> int:
        return int(self._word[0])

    @property
    def in_force(self) -> bool:
        """Whether there is a list at all, be it empty."""
        return self._number != 0

    def listed(self) -> list[Listed]:
        """The list in force, in the map's order."""
        keys, counters = self._of(self._number)
        columns = zip(counters["packets"].tolist(), counters["bytes"].tolist(), strict=True)
        return [Listed(prefix, *counts) for prefix, counts in zip(read_prefilter_keys(keys), columns, strict=True)]

    def add(self, networks: Sequence[Network]) -> list[Network]:
        """Add those that are not there; which these were. Raises `MapFullError` with nothing changed."""
        if not self._number:
            fresh = list(dict.fromkeys(networks))
            self.replace(fresh)
            return fresh
        added: list[Network] = []
        for network, key in zip(networks, prefilter_keys(networks, self._number), strict=True):
            try:
                # A look-up would find a shorter prefix too.
                self._map.update(key, np.zeros(1, COUNTER)[0], NOEXIST)
            except OSError as error:
                if error.errno == errno.EEXIST:
                    continue
                self.delete(added)
                raise self._full(len(networks), error) from error
            added.append(network)
        return added

    def delete(self, networks: Sequence[Network]) -> list[Network]:
        """Delete those that are there; which these were."""
        keys = prefilter_keys(networks, self._number)
        return [network for network, key in zip(networks, keys, strict=True) if self._map.delete(key)]

    def replace(self, networks: Sequence[Network]) -> None:
        """Put another list into force. Raises `MapFullError` with nothing changed."""
        old, fresh = self._number, self._number % (_MOST_LISTS - 1) + 1
        self._clear(fresh)  # what a killed run had not come to
        self._write(prefilter_keys(networks, fresh))
        self._word[0] = fresh
        self._clear(old)

    def _write(self, keys: NDArray[Any]) -> None:
        """All of these or none."""
        written = 0
        try:
            for start in range(0, len(keys), _ROWS):
                piece = keys[start : start + _ROWS]
                self._map.update_batch(piece, np.zeros(len(piece), COUNTER), NOEXIST)
                written = start + len(piece)
        except OSError as error:
            self._map.delete_batch(keys[: written + _ROWS])
            raise self._full(len(keys), error) from error

    def _full(self, count: int, error: OSError) -> MapFullError:
        return MapFullError(
            f"no room for {count} prefixes: the map prefilter holds {self._map.max_entries}, and a list that replaces"
            f" another needs room beside it; start the agent with --map-size prefilter=N ({error.strerror})"
        )

    def _clear(self, number: int) -> None:
        keys, _ = self._of(number)
        self._map.delete_batch(keys)

    def _of(self, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
        keys, counters = self._map.dump()
        chosen = keys["list"] == number
        return keys[chosen], counters[chosen]
