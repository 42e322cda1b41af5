"""News from the node's network namespace: endpoints whose interface has vanished, and the node's own addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

import structlog

from ringfence.agent.changes import Changes
from ringfence.datapath.interfaces import links, node_addresses
from ringfence.datapath.linkwatch import LinkWatch, MissedChangesError
from ringfence.engine.engine import Engine
from ringfence.engine.events import EndpointDisconnected, NodeAddresses, Together, Workload
from ringfence.errors import RingfenceError

_log = structlog.get_logger()


def interface_macs() -> dict[int, bytes]:
    """The interfaces of this namespace by index, with their MAC addresses."""
    return {link.index: link.mac for link in links()}


def still_there(workload: Workload, macs: Mapping[int, bytes]) -> Workload:
    """A workload of an earlier run; without its interface if another one has come in its place."""
    return workload if macs.get(workload.ifindex) == workload.host_mac else replace(workload, ifindex=0)


class NetworkNews:
    """Listens in the running loop from construction until `close`."""

    def __init__(self, engine: Engine, changes: Changes) -> None:
        self._engine = engine
        self._changes = changes
        self._links = LinkWatch()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stale = self._refreshing = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._links.fileno(), self._links_changed)

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._links.fileno())
        self._links.close()

    def look_at_all(self) -> None:
        """Find the endpoints whose interface is not there any more: at the start, and after news was missed."""
        there = {index for index, _name in socket.if_nameindex()}
        self._disconnect({each.workload.ifindex for each in self._engine.endpoints} - there)

    def _links_changed(self) -> None:
        try:
            gone = {change.ifindex for change in self._links.read() if change.gone}
        except MissedChangesError:
            self.look_at_all()
        else:
            self._disconnect(gone)
        self._stale = True
        if not self._refreshing:
            self._refreshing = True
            self._start(self._refresh_node())

    def _disconnect(self, gone: set[int]) -> None:
        names = [
            each.workload.name
            for each in self._engine.endpoints
            if each.workload.ifindex and each.workload.ifindex in gone
        ]
        if names:
            self._start(self._make(Together(tuple(EndpointDisconnected(name) for name in names)), endpoints=names))

    async def _refresh_node(self) -> None:
        """Once for all news that comes while it looks."""
        while self._stale:
            self._stale = False
            addresses = await asyncio.to_thread(node_addresses)
            if addresses != self._engine.nodes:
                await self._make(NodeAddresses(addresses), addresses=sorted(map(str, addresses)))
        self._refreshing = False

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
