"""News from the node's network namespace: endpoints whose interface has vanished, the node's own addresses, and routes
and filters that say how packets may be delivered.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any

import structlog

from ringfence.agent.changes import Changes
from ringfence.agent.uplinks import Uplinks
from ringfence.agent.wiring import Wiring
from ringfence.datapath.forwarding import legacy_tables
from ringfence.datapath.interfaces import node_addresses
from ringfence.datapath.linkwatch import FilterWatch, LinkWatch, MissedChangesError
from ringfence.engine.engine import Engine
from ringfence.engine.events import EndpointDisconnected, NodeAddresses, Together
from ringfence.errors import RingfenceError

_log = structlog.get_logger()

# The kernel tells nobody of iptables-legacy's tables; two small files say which there are.
_LEGACY_SECONDS = 2.0
# A node whose routes change all the time is not looked at all the time.
_REST_FACTOR = 4


class NetworkNews:
    """Listens in the running loop from construction until `close`."""

    def __init__(self, engine: Engine, changes: Changes, wiring: Wiring, uplinks: Uplinks) -> None:
        self._uplinks = uplinks
        self._engine = engine
        self._changes = changes
        self._wiring = wiring
        self._tasks: set[asyncio.Task[None]] = set()
        self._stale = self._refreshing = False
        self._loop = asyncio.get_running_loop()
        self._links = LinkWatch()
        self._loop.add_reader(self._links.fileno(), self._links_changed)
        self._filters: FilterWatch | None = None
        with suppress(OSError):  # a kernel without nftables has no such rules either
            self._filters = FilterWatch()
            self._loop.add_reader(self._filters.fileno(), self._filters_changed)
        self._legacy: tuple[str, ...] = ()
        self._look_at_legacy()

    def close(self) -> None:
        """Stop listening."""
        self._timer.cancel()
        watches: list[LinkWatch | FilterWatch] = [self._links, *([self._filters] if self._filters else [])]
        for watch in watches:
            self._loop.remove_reader(watch.fileno())
            watch.close()

    def look_at_all(self) -> None:
        """Find the endpoints whose interface is not there any more: at the start, and after news was missed."""
        there = {index for index, _name in socket.if_nameindex()}
        self._disconnect({each.workload.ifindex for each in self._engine.endpoints} - there)
        self._look()

    def _links_changed(self) -> None:
        self._uplinks.look()
        try:
            gone = {change.ifindex for change in self._links.read() if change.gone}
        except MissedChangesError:
            self.look_at_all()
        else:
            self._disconnect(gone)
        self._look()

    def _filters_changed(self) -> None:
        if self._filters:
            self._filters.read()
        self._look()

    def _look_at_legacy(self) -> None:
        tables = tuple(legacy_tables())
        if tables != self._legacy:
            self._legacy = tables
            self._look()
        self._timer = self._loop.call_later(_LEGACY_SECONDS, self._look_at_legacy)

    def _look(self) -> None:
        """At the node's addresses, routes and filters, once for all news that comes while it looks."""
        self._stale = True
        if not self._refreshing:
            self._refreshing = True
            self._start(self._refresh())

    def _disconnect(self, gone: set[int]) -> None:
        names = [
            each.workload.name
            for each in self._engine.endpoints
            if each.workload.ifindex and each.workload.ifindex in gone
        ]
        if names:
            self._start(self._make(Together(tuple(EndpointDisconnected(name) for name in names)), endpoints=names))

    async def _refresh(self) -> None:
        try:
            while self._stale:
                self._stale = False
                start = monotonic()
                await self._refresh_once()
                await asyncio.sleep(_REST_FACTOR * (monotonic() - start))
        finally:
            self._refreshing = False

    async def _refresh_once(self) -> None:
        for changed in await self._wiring.look_at_deliveries():
            _log.info("delivery_changed", delivery=changed.delivery.name.lower(), because=changed.delivery_reason)
        try:
            addresses = await asyncio.to_thread(node_addresses)
        except OSError as error:
            _log.error("addresses_not_read", error=str(error))
            return
        if addresses != self._engine.nodes:
            await self._make(NodeAddresses(addresses), addresses=sorted(map(str, addresses)))

    async def _make(self, event: NodeAddresses | Together, **told: object) -> None:
        try:
            await self._changes.make(event)
        except RingfenceError as error:
            _log.error("network_change_refused", error=str(error), **told)
        else:
            _log.info("network_changed", **told)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
