"""Source translation at uplinks: by which address endpoints are seen, towards whom they are not, and the flows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import SNAT_KEY, UPLINK
from ringfence.datapath.addresses import Address, Network, mapped, prefix_keys, prefix_network, unmapped
from ringfence.datapath.syscall import BpfMap


class Translation(NamedTuple):
    """A flow: what the endpoint sends (to a destination), and by which address and port the world sees it. Ports are 0
    where the protocol has none, `created` in jiffies.
    """

    protocol: int
    source: Address
    source_port: int
    destination: Address
    destination_port: int
    seen: Address
    seen_port: int
    created: int

    @property
    def own(self) -> bool:
        """Whether it is the node's own, kept so that no endpoint is given its port."""
        return self.source == self.seen


class SnatTable:
    """The writer of `uplinks` and `snat_excluded`, and the reader of `snat`."""

    def __init__(self, maps: Mapping[str, BpfMap]) -> None:
        self._uplinks = maps["uplinks"]
        self._excluded = maps["snat_excluded"]
        self._flows = maps["snat"]

    def set_uplink(self, ifindex: int, addresses: Collection[Address]) -> None:
        """Endpoints are seen by these, the first of each family; in a family without one as they are."""
        row = np.zeros(1, UPLINK)[0]
        for version in (4, 6):
            own = next((each for each in addresses if each.version == version), None)
            if own is not None:
                row[f"ipv{version}"] = np.frombuffer(mapped(own), np.uint8)
        # An element that stays as it is is not written: a packet may be reading it.
        if self.uplinks().get(ifindex) != row.tobytes():
            self._uplinks.update(np.uint32(ifindex), row)

    def remove_uplink(self, ifindex: int) -> None:
        """Translate no more at an interface."""
        self._uplinks.delete(np.uint32(ifindex))

    def uplinks(self) -> dict[int, bytes]:
        """The interfaces where it is done, with the addresses as the map has them."""
        keys, rows = self._uplinks.dump()
        return {int(key): row.tobytes() for key, row in zip(keys, rows, strict=True)}

    def exclude(self, networks: Collection[Network]) -> None:
        """Exactly these are reached by the endpoints' own addresses."""
        keys, _ = self._excluded.dump()
        there = {prefix_network(key) for key in keys}
        fresh, gone = [each for each in networks if each not in there], [each for each in there if each not in networks]
        self._excluded.update_batch(prefix_keys(fresh), np.ones(len(fresh), np.uint32))
        self._excluded.delete_batch(prefix_keys(gone))

    def flows(self) -> list[Translation]:
        """All flows, by what the endpoints send."""
        keys, entries = self._flows.dump()
        outward = keys["inward"] == 0
        return [_translation(key, entry) for key, entry in zip(keys[outward], entries[outward], strict=True)]

    def forget(self, wanted: Callable[[Translation], bool]) -> int:
        """Forget the flows that are wanted: their next packet is translated anew. How many there were."""
        keys, entries = self._flows.dump()
        outward = np.flatnonzero(keys["inward"] == 0)
        chosen = [at for at in outward.tolist() if wanted(_translation(keys[at], entries[at]))]
        forgotten = keys[chosen]
        self._flows.delete_batch(forgotten)
        self._flows.delete_batch(_inward(forgotten, entries[chosen]))
        return len(chosen)

    def adopt(self, keys: NDArray[Any], entries: NDArray[Any]) -> None:
        """Take over the flows of another object."""
        self._flows.update_batch(keys, entries)


def _translation(key: Any, entry: Any) -> Translation:
    return Translation(
        int(key["protocol"]),
        unmapped(key["source"].tobytes()),
        int(key["source_port"]),
        unmapped(key["destination"].tobytes()),
        int(key["destination_port"]),
        unmapped(entry["address"].tobytes()),
        int(entry["port"]),
        int(entry["created"]),
    )


def _inward(keys: NDArray[Any], entries: NDArray[Any]) -> NDArray[Any]:
    """The keys of the answers to flows."""
    found = np.zeros(len(keys), SNAT_KEY)
    found["source"], found["destination"] = keys["destination"], entries["address"]
    found["source_port"], found["destination_port"] = keys["destination_port"], entries["port"]
    found["protocol"], found["inward"] = keys["protocol"], 1
    return found
