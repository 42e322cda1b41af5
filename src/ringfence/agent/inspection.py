"""Inspection: what the API asks about the kernel's maps, read from them, and changed by hand where that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from ringfence.agent import nat_views, service_views, views
from ringfence.agent.kernel import Kernel
from ringfence.agent.maplog import BY_HAND, MapLog
from ringfence.api import shapes
from ringfence.api.inspected import Element, ElementChanged, LocalAddress, MapChange, MetricShape
from ringfence.api.nat_shapes import TranslationShape
from ringfence.api.service_shapes import BalancingShape
from ringfence.datapath.addresses import is_whole
from ringfence.engine.engine import Engine
from ringfence.engine.known import Known
from ringfence.flow.connections import ConnectionFilter


class Inspection:
    """The kernel's maps for people."""

    def __init__(self, engine: Engine, kernel: Kernel, log: MapLog) -> None:
        self._kernel = kernel
        self._known = engine.known
        self._services = engine.services
        self._log = log

    async def connections(self, wanted: ConnectionFilter) -> list[shapes.ConnectionShape]:
        return await asyncio.to_thread(self._kernel.tracking.listed, self._known, wanted)

    async def flush_connections(self, wanted: ConnectionFilter) -> shapes.Flushed:
        return {"flushed": await asyncio.to_thread(self._kernel.tracking.forget, self._known, wanted)}

    async def maps(self) -> list[shapes.MapShape]:
        return await asyncio.to_thread(self._kernel.contents.listed)

    async def map(self, name: str) -> shapes.MapDump:
        return await asyncio.to_thread(self._kernel.contents.dump, name, self._known)

    async def metrics(self) -> list[MetricShape]:
        return views.metrics(await asyncio.to_thread(self._kernel.metrics))

    async def endpoints(self) -> list[LocalAddress]:
        rows = await asyncio.to_thread(self._kernel.contents.dump, "endpoints", self._known)
        _, peers = self._kernel.held()
        found = {row["key"]: row["value"] for row in rows["rows"]}
        at = sorted(((network, peer.endpoint) for network, peer in peers.items() if peer.endpoint), key=_order)
        return list(_addresses([(_text(network), row) for network, row in at], found, self._known))

    async def balancing(self) -> BalancingShape:
        frontends, backends = await asyncio.to_thread(self._kernel.balancing)
        return service_views.balancing(frontends, backends, self._services)

    async def translations(self, within: str | None, protocol: str | None) -> list[TranslationShape]:
        wanted = nat_views.meant(within, protocol)
        found = await asyncio.to_thread(self._kernel.uplinks.flows)
        return nat_views.translations(filter(wanted, found))

    async def flush_translations(self, within: str | None, protocol: str | None) -> shapes.Flushed:
        wanted = nat_views.meant(within, protocol)
        return {"flushed": await asyncio.to_thread(self._kernel.uplinks.forget, wanted)}

    def map_changes(self, name: str, *, follow: bool) -> AsyncIterator[MapChange | dict[str, int]]:
        return self._log.changes(name, self._known, follow=follow)

    async def write_element(self, name: str, element: Element) -> ElementChanged:
        changed = await asyncio.to_thread(self._kernel.contents.write, name, element, self._known)
        self._log.note([changed], self._kernel.revision, [f"{BY_HAND} set"])
        return changed

    async def delete_element(self, name: str, element: Element) -> ElementChanged:
        changed = await asyncio.to_thread(self._kernel.contents.delete, name, element, self._known)
        self._log.note([changed], self._kernel.revision, [f"{BY_HAND} delete"])
        return changed


def _order(at: tuple[Any, int]) -> tuple[int, Any]:
    return at[0].version, at[0]


def _text(network: Any) -> str:
    return str(network.network_address) if is_whole(network) else str(network)


def _addresses(
    at: list[tuple[str, int]], rows: Mapping[int, Mapping[str, Any]], known: Known
) -> Iterator[LocalAddress]:
    for address, row in at:
        fields = rows.get(row, {})
        yield {
            "address": address,
            "row": row,
            "endpoint": known.endpoint_of(row),
            "ifindex": fields.get("ifindex", 0),
            "mac": fields.get("mac", ""),
            "host_mac": fields.get("host_mac", ""),
            "delivery": str(fields.get("delivery", "")),
            "aggregation": str(fields.get("aggregation", "")),
        }
