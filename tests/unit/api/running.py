"""An agent in a thread of the test: the real engine, changes, service and HTTP server over a dry kernel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ringfence.agent.changes import Changes
from ringfence.agent.commits.control import Commits
from ringfence.agent.commits.log import CommitLog
from ringfence.agent.dry import DryKernel
from ringfence.agent.http import ApiServer, WebServer
from ringfence.agent.hub import Hub
from ringfence.agent.journal import Journal
from ringfence.agent.listening import Listen, listen, url
from ringfence.agent.namespaces import Namespaces
from ringfence.agent.node_policies import NodePolicies
from ringfence.agent.past import Past
from ringfence.agent.prefix_list import PrefixList
from ringfence.agent.recording import Recording
from ringfence.agent.service import Parts, Service
from ringfence.agent.store import PolicyFiles
from ringfence.agent.uplinks import Uplinks
from ringfence.agent.wiring import Wiring
from ringfence.datapath.interfaces import WorkloadInterface
from ringfence.engine.commands import ClearEndpoint, Commit, WriteEndpoint
from ringfence.engine.engine import Engine
from ringfence.engine.events import Restored
from ringfence.errors import NotFound
from ringfence.flow.decode import Events
from ringfence.flow.recent import Recent


class Kernel(DryKernel):
    """A dry kernel that refuses commits when it is told to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.commits = 0
        self.refuse = 0
        super().__init__(self.lines.append)

    def write(self, command: WriteEndpoint | Commit | ClearEndpoint) -> None:
        if isinstance(command, Commit):
            self.commits += 1
            if self.refuse:
                self.refuse -= 1
                raise OSError(7, "the map is full")
        super().write(command)


def find(netns: str, interface: str) -> WorkloadInterface:
    """Workloads live in namespaces called <n>, with the address 10.0.0.<n>."""
    if not netns.isdigit():
        raise NotFound(f"there is no network namespace {netns}")
    number = int(netns)
    macs = bytes([2, 0, 0, 0, 0, number]), bytes([2, 0, 0, 0, 1, number])
    address = ip_address(f"10.0.0.{number}")
    return WorkloadInterface(netns, interface, macs[0], (address,), 2, number + 10, f"veth{number}", macs[1])


@dataclass
class Running:
    """The agent of a test."""

    directory: Path
    kernel: Kernel = field(default_factory=Kernel)
    engine: Engine = field(default_factory=Engine)
    web: Listen | None = None

    def __post_init__(self) -> None:
        self.socket = self.directory / "agent.sock"
        self.journal = Journal(self.directory / "journal.jsonl")
        self.hub = Hub(self.engine.known)
        self._listening = listen(self.web) if self.web else None
        self.url = url(self._listening) if self._listening else ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self._ready.wait()

    def publish(self, events: Events) -> None:
        """Let the ring have had these events."""
        self._loop.call_soon_threadsafe(self.hub.publish, events)

    def stop(self) -> None:
        """End the streams, the server and the thread."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self.hub.close)
        self._loop.call_soon_threadsafe(self.changes.log.close)
        for server in self._servers:
            self._loop.call_soon_threadsafe(server.stop)
        self._thread.join()
        self.journal.close()
        if self._listening:
            self._listening.close()

    async def _serve(self) -> None:
        self._loop: Any = asyncio.get_running_loop()
        wiring = Wiring(self.kernel, self.engine.endpoints)
        self.changes = Changes(self.engine, self.kernel, self.journal, wiring)
        self.changes.now(Restored())
        files, namespaces = PolicyFiles(), Namespaces()
        self.commit_log = CommitLog(self.directory / "commits")
        self.changes.commit_log = self.commit_log
        node = NodePolicies(self.engine, uplinks=False, ports=())
        self.parts = Parts(
            "test",
            self.engine,
            self.kernel,
            self.changes,
            wiring,
            self.hub,
            files,
            namespaces,
            Past(self.hub, Recent()),
            Recording(None, "not asked for"),
            PrefixList(
                self.kernel.prefilter,
                Uplinks((), self.kernel.prefilter, self.kernel.uplinks),
                self.directory / "prefilter.list",
            ),
            Commits(self.engine, self.kernel, self.changes, files, namespaces, self.commit_log, node),
            node,
            find,
        )
        service = Service(self.parts)
        self._servers: list[ApiServer | WebServer] = [ApiServer(self.socket, service)]
        if self._listening:
            self._servers.append(WebServer(self._listening, service))
        self._ready.set()
        await asyncio.gather(*(server.serve() for server in self._servers))


@contextmanager
def running(directory: Path, web: Listen | None = None) -> Iterator[Running]:
    """An agent for the length of a block, with the page on a loopback port if one is given."""
    agent = Running(directory, web=web)
    try:
        yield agent
    finally:
        agent.stop()
