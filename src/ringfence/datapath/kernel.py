"""The kernel's datapath: the loaded object of one instance with its pins, as the agent uses it.

The first start loads the object and pins it. Every later one takes over the pinned maps and loads its own programs
over them, so that code and knobs are always this version's; attaching then swaps them in, link by link, without a
packet unjudged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import Aggregation, Delivery, Direction, MetricsLayout, Reason
from ringfence.datapath import attach, features
from ringfence.datapath.bpffs import ensure_bpffs
from ringfence.datapath.commit import Committer
from ringfence.datapath.endpoints import EndpointTable
from ringfence.datapath.interface import Attachment, Count, EventTally, Network
from ringfence.datapath.interfaces import delivery_for
from ringfence.datapath.loader import LoadedObject, is_pinned, load, open_pinned, pin_directory, unpin
from ringfence.datapath.ringbuf import EventRing
from ringfence.engine.commands import Commit, Peer, WriteEndpoint
from ringfence.policy.mapstate import PolicyKey

CONNECTIONS = ("ct4", "ct6", "fragments")


class KernelDatapath:
    """Implements `datapath.interface.Datapath`. Works in the network namespace of the calling thread."""

    def __init__(self, loaded: LoadedObject, directory: Path, mechanism: attach.Mechanism | None = None) -> None:
        self._loaded = loaded
        self._directory = directory
        self._mechanism = mechanism
        self._committer = Committer(loaded.maps)
        self._endpoints = EndpointTable(loaded.maps)
        self._ring = EventRing(loaded.maps["events"])
        self._delivery: dict[int, tuple[Delivery, str]] = {}

    @classmethod
    def open(
        cls,
        instance: str = "default",
        knobs: Mapping[str, int] | None = None,
        sizes: Mapping[str, int] | None = None,
        mechanism: attach.Mechanism | None = None,
    ) -> Self:
        """Load the object, over the maps that an earlier run has pinned. One writer only: the caller holds a lock.

        Raises `Unavailable` when the kernel or the process lacks something.
        """
        features.require()
        ensure_bpffs()
        directory = pin_directory(instance)
        settings = {"jiffies_per_second": features.jiffies_per_second(), **(knobs or {})}
        with ExitStack() as stack:
            earlier = stack.enter_context(open_pinned(directory)).maps if is_pinned(directory) else {}
            loaded = load(settings, sizes or {}, reuse=earlier)
        loaded.pin(directory)
        return cls(loaded, directory, mechanism)

    @property
    def revision(self) -> int:
        return self._committer.revision

    def commit(self, change: Commit) -> int:
        return self._committer.commit(change)

    def write_endpoint(self, endpoint: WriteEndpoint) -> None:
        """Fill a row; packets to it go through the stack until `attach` finds a better way."""
        self._endpoints.write(endpoint, self._delivery.get(endpoint.row, (Delivery.STACK, ""))[0])

    def clear_endpoint(self, row: int) -> None:
        self._delivery.pop(row, None)
        self._endpoints.clear(row)

    def attach(self, row: int, ifindex: int, addresses: Iterable[IPv4Address | IPv6Address]) -> Attachment:
        """As `Datapath.attach`. Raises `NotFound` when the interface is gone."""
        attach.attach(self._loaded, ifindex, self._directory, self._mechanism)
        self._delivery[row] = delivery_for(ifindex, addresses)
        self._endpoints.set_delivery(row, self._delivery[row][0])
        return self._attachment(row, ifindex)

    def detach(self, ifindex: int) -> None:
        attach.detach(ifindex, self._directory)

    def attachments(self) -> dict[int, Attachment]:
        return {row: self._attachment(row, ifindex) for row, ifindex in self._endpoints.live().items()}

    def _attachment(self, row: int, ifindex: int) -> Attachment:
        mechanisms = {str(found.mechanism) for found in attach.query(ifindex)}
        delivery, why = self._delivery.get(row, (Delivery.STACK, "not attached yet"))
        ok = attach.programs_ok(self._loaded, ifindex)
        return Attachment(ifindex, "+".join(sorted(mechanisms)), ok, delivery, why)

    def entries(self) -> dict[PolicyKey, int]:
        return self._committer.rule_numbers()

    def peers(self) -> dict[Network, Peer]:
        return self._committer.peer_entries()

    def endpoint_rows(self) -> dict[int, int]:
        return self._endpoints.live()

    def hits(self) -> dict[PolicyKey, Count]:
        _rows, counts = self.dump("record_hits")
        rows = self._committer.policy.row_of
        picked = counts[np.fromiter(rows.values(), np.int64, len(rows))].tolist()
        return {key: Count(*count) for key, count in zip(rows, picked, strict=True)}

    def verdicts(self) -> dict[tuple[Reason, Direction], Count]:
        _rows, counts = self.dump("metrics")
        seen = np.flatnonzero(counts["packets"]).tolist()
        where = {row: divmod(row, MetricsLayout.DIRECTIONS) for row in seen}
        return {(Reason(r), Direction(d)): Count(*counts[row].tolist()) for row, (r, d) in where.items()}

    def dump(self, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._loaded.maps[name].dump()

    def flush_connections(self) -> int:
        maps = [self._loaded.maps[name] for name in CONNECTIONS]
        return sum(bpf_map.delete_batch(bpf_map.dump()[0]) for bpf_map in maps)

    def read_events(self, limit: int = 65536) -> NDArray[Any]:
        return self._ring.read(limit)

    def fileno(self) -> int:
        return self._ring.fileno()

    def event_tally(self) -> EventTally:
        tally = self._loaded.maps["event_tally"].lookup(0)
        return EventTally(int(tally["written"]), int(tally["lost"]))

    def set_aggregation(self, aggregation: Aggregation) -> None:
        self._loaded.maps[".data.events"].mmap_array()["event_aggregation"][0] = aggregation

    def close(self) -> None:
        self._ring.close()
        self._loaded.close()

    def remove(self) -> None:
        """End enforcement: detach every endpoint and remove the pins. The object goes with `close`."""
        for ifindex in self._endpoints.live().values():
            self.detach(ifindex)
        unpin(self._directory)
