"""Backends of a service come and go under load for a minute: what lives is left alone, what is gone gets nothing."""

from __future__ import annotations

import random
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import pytest

from tests.kernel.agents import Agent
from tests.kernel.world import Node, Workload, owned_name

SECONDS = 60
ADDRESS, PORT = "10.96.0.20", 80
NAMES = ("one", "two", "three", "four")
KEPT = 20  # connections that a client holds open
SEED = 5
MANIFEST = """
apiVersion: v1
kind: Service
metadata: {{name: churn}}
spec: {{clusterIP: {address}, ports: [{{port: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: churn-1, labels: {{kubernetes.io/service-name: churn}}}}
addressType: IPv4
ports: [{{port: {port}, protocol: TCP}}]
endpoints: [{endpoints}]
"""


@pytest.fixture
def agent(node: Node, tmp_path: Path) -> Iterator[Agent]:
    """An agent that manages a client and four workloads."""
    found = Agent(node, owned_name("churn"), tmp_path)
    try:
        found.start()
        for number, name in enumerate(("client", *NAMES), 1):
            found.add(node.add_workload(name, f"10.77.4.{number}", f"fd77:4::{number}"), name, f"app={name}")
        yield found
    finally:
        found.remove()


@dataclass
class Members:
    """Who was a backend when. A change is noted before it is asked for and again once the agent has answered."""

    #: For each name, when its present or last membership began to be certain, and when it first may have ended.
    since: dict[str, float] = field(default_factory=dict)
    until: dict[str, float] = field(default_factory=dict)

    def may_have_been(self, name: str, begin: float) -> bool:
        """Whether a connection that was begun then may have been led to it: it is a member, or was so after that."""
        return name in self.since or self.until.get(name, 0.0) >= begin

    def surely(self, name: str, begin: float) -> bool:
        """Whether it has been a member all the time since."""
        return name in self.since and self.since[name] <= begin


class Churn:
    """Changes of the members, each carried out when `change` returns."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._random = random.Random(SEED)
        self.members = Members()
        self.changes = 0
        self.change(NAMES)

    def any_change(self) -> None:
        """Some of them, at least one."""
        self.change(self._random.sample(NAMES, self._random.randint(1, len(NAMES))))

    def change(self, names: tuple[str, ...] | list[str]) -> None:
        """Exactly these are backends once it returns."""
        gone = [name for name in self.members.since if name not in names]
        for name in gone:
            # From here on its connections may end; what is begun after the commit must not come to it.
            del self.members.since[name]
        # And from here on connections may come to those that are to be.
        self.members.until |= dict.fromkeys([*gone, *names], float("inf"))
        backends = (self._agent.node.workloads[name].ipv4 for name in names)
        endpoints = ", ".join(f"{{addresses: [{address}]}}" for address in backends)
        self._agent.apply("churn.yaml", MANIFEST.format(address=ADDRESS, port=PORT, endpoints=endpoints))
        now = monotonic()
        self.members.until |= dict.fromkeys(gone, now)
        for name in names:
            self.members.since.setdefault(name, now)
        self.changes += 1


class NameServer:
    """Tells whoever connects its name, and echoes what comes after that."""

    def __init__(self, workload: Workload, name: str) -> None:
        self._name = name.encode()
        self._selector = selectors.DefaultSelector()
        self._listener = workload.run(lambda: socket.create_server((workload.ipv4, PORT), backlog=128))
        self._listener.settimeout(0)
        self._open = {self._listener}
        self._selector.register(self._listener, selectors.EVENT_READ, self._listener)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._selector.close()
        for each in self._open:
            each.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.1):
                ready: socket.socket = key.data
                with suppress(BlockingIOError, ConnectionError):
                    if ready is self._listener:
                        self._accept()
                    else:
                        self._answer(ready)

    def _accept(self) -> None:
        fresh, _ = self._listener.accept()
        self._open.add(fresh)
        self._selector.register(fresh, selectors.EVENT_READ, fresh)
        fresh.sendall(self._name)

    def _answer(self, connection: socket.socket) -> None:
        text = b""
        try:
            text = connection.recv(64)
            connection.sendall(text)
        finally:
            if not text:
                self._selector.unregister(connection)
                self._open.discard(connection)
                connection.close()


class Client:
    """Opens connections, holds some of them open and uses all that it holds, until it is told to stop."""

    def __init__(self, workload: Workload, members: Members) -> None:
        self._workload = workload
        self._members = members
        self._held: list[tuple[socket.socket, str, float]] = []
        self.opened = self.used = self.lost = 0
        self.wrong: list[str] = []

    def run(self, over: threading.Event) -> None:
        """To be called in the workload's namespace."""
        while not over.is_set():
            self._open()
            self._use_all()
        for connection, _, _ in self._held:
            connection.close()

    def _open(self) -> None:
        begin = monotonic()
        connection = socket.socket()
        connection.settimeout(5)
        try:
            connection.connect((ADDRESS, PORT))
            name = connection.recv(16).decode()
        except OSError:
            # Its backend went while it was being opened; that some always come through is seen by `opened`.
            connection.close()
            self.lost += 1
            return
        self.opened += 1
        if not self._members.may_have_been(name, begin):
            self.wrong.append(f"a new connection came to {name}, which was gone")
        connection.settimeout(0.2)
        self._held.append((connection, name, monotonic()))
        if len(self._held) > KEPT:
            self._held.pop(0)[0].close()

    def _use_all(self) -> None:
        kept = []
        for held in self._held:
            connection, name, begin = held
            try:
                connection.sendall(b"there")
                through = connection.recv(16) == b"there"
            except OSError:
                through = False
            if through:
                self.used += 1
                kept.append(held)
                continue
            if self._members.surely(name, begin):
                self.wrong.append(f"a connection to {name}, which lived, was broken")
            connection.close()
        self._held = kept


def test_churn_breaks_no_living_connection_and_sends_none_to_the_dead(agent: Agent) -> None:
    """Under load, connections to backends that stay are all kept, and no new one comes to a backend that has gone."""
    workloads = agent.node.workloads
    churn = Churn(agent)
    client = Client(workloads["client"], churn.members)
    over = threading.Event()
    with ExitStack() as stack:
        for name in NAMES:
            stack.enter_context(closing(NameServer(workloads[name], name)))
        thread = threading.Thread(target=lambda: workloads["client"].run(lambda: client.run(over)))
        thread.start()
        try:
            end = monotonic() + SECONDS
            while monotonic() < end:
                churn.any_change()
                # Some load between two changes: the pace is the client's, not a clock's.
                seen = client.opened
                while client.opened < seen + 5 and thread.is_alive() and monotonic() < end:
                    over.wait(0.01)
        finally:
            over.set()
            thread.join()
    assert client.wrong == []
    assert churn.changes > 50
    assert client.opened > 500
    assert client.used > 10 * client.opened / 2
