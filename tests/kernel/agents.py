"""Agents as processes of their own in the namespace that plays the node: stopped, killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import MAPS
from ringfence.api.client import Client
from ringfence.datapath.loader import PIN_ROOT, unpin
from ringfence.datapath.rings import EventRings, held_by
from ringfence.datapath.syscall import BpfMap, obj_get
from ringfence.engine import memory
from ringfence.verdict import RuleText
from tests.kernel.world import Node, Workload, owned_name

SOURCE = Path(__file__).resolve().parents[2] / "src"


@dataclass
class Agent:
    """The agent of one instance; `directory` holds its state and socket. Only one process of it runs at a time."""

    node: Node
    instance: str
    directory: Path
    process: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._heard = threading.Condition()
        self._silent = True

    @property
    def socket(self) -> str:
        return str(self.directory / "agent.sock")

    def command(self, *more: str) -> list[str]:
        """How to start it."""
        options = ["--instance", self.instance, "--socket", self.socket]
        places = ["--state-dir", str(self.directory / "state"), "--flows-dir", str(self.directory / "flows")]
        return [sys.executable, "-m", "ringfence.cli", *options, "agent", *places, *more]

    def start(self, command: Sequence[str] | None = None) -> None:
        """Start it, and return once it serves."""
        self.process = self.spawn(command or self.command())
        self._silent = False
        before = len(self.said)
        self._listener = threading.Thread(target=self._listen, args=(self.process.stderr,))
        self._listener.start()
        self.hear("serving", before)

    def spawn(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """A process inside the node, with what it says on a pipe and what it prints in a file."""
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "NO_COLOR": "1"}
        with (self.directory / "output").open("w") as output:
            return self.node.run(
                lambda: subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.PIPE, text=True)
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the process that was started, and wait for its end; its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            return process.wait(timeout=20)
        finally:
            self._listener.join()

    def hear(self, text: str, after: int) -> None:
        """Return once it has said a line with this text, behind as many lines; fail when it ends before."""
        with self._heard:
            self._heard.wait_for(lambda: self._silent or any(text in line for line in self.said[after:]), timeout=30)
            assert any(text in line for line in self.said[after:]), f"it never said {text}:\n" + "".join(self.said)

    def _listen(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                with self._heard:
                    self.said.append(line)
                    self._heard.notify_all()
        with self._heard:
            self._silent = True
            self._heard.notify_all()

    def client(self) -> Client:
        """A client of it."""
        return Client(self.socket)

    def add(self, workload: Workload, name: str, *labels: str) -> None:
        """Let it manage a workload."""
        with self.client() as client:
            client.put_endpoint(name, netns=workload.namespace, labels=list(labels))

    def apply(self, name: str, text: str) -> int:
        """Apply one policy file; the revision."""
        with self.client() as client:
            return client.apply_policies([(name, text)])["revision"]

    def pinned(self, name: str) -> BpfMap:
        """A map of the one object that is pinned."""
        (directory,) = (PIN_ROOT / self.instance).iterdir()
        return BpfMap(obj_get(directory / "maps" / name.lstrip(".").replace(".", "_")), MAPS[name])

    def revision(self) -> int:
        """The active revision, without asking the agent."""
        with self.pinned(".data.revision") as found:
            return int(found.lookup(np.uint32(0))["active_revision"])

    def unread_events(self) -> NDArray[Any]:
        """What nobody has read yet. Only while no agent runs, which is the ring's reader."""
        assert self.process is None
        with self.pinned("events") as outer, ExitStack() as opened:
            ring = opened.enter_context(EventRings([opened.enter_context(each) for each in held_by(outer)]))
            batches = _until_empty(ring.read)
            return np.concatenate(batches) if batches else np.empty(0, MAPS["events"].value)

    def rules(self) -> dict[int, RuleText]:
        """What rule numbers stand for, as the journal has it."""
        found: dict[int, RuleText] = {}
        for line in (self.directory / "state" / "journal.jsonl").read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                for kind, key, value in json.loads(line):
                    if kind == memory.RULE and value is not None:
                        found[int(key)] = memory.read_rule(value)
        return found

    def remove(self) -> None:
        """End it and remove what it left in the kernel."""
        if self.process is not None:
            self.end(signal.SIGKILL)
        for directory in (PIN_ROOT / self.instance).glob("*"):
            unpin(directory)
        shutil.rmtree(PIN_ROOT / self.instance, ignore_errors=True)
        shutil.rmtree(Path("/run/ringfence") / self.instance, ignore_errors=True)


@contextmanager
def managing_two(node: Node, add: Callable[[str, str, str], Workload], name: str, place: Path) -> Iterator[Agent]:
    """An agent that manages a client and a server for the length of a block."""
    found = Agent(node, owned_name(name), place)
    try:
        found.start()
        for app, ipv4, ipv6 in (("client", "10.77.2.1", "fd77:2::1"), ("server", "10.77.2.2", "fd77:2::2")):
            found.add(add(app, ipv4, ipv6), app, f"app={app}")
        yield found
    finally:
        found.remove()


def _until_empty(read: Callable[[], NDArray[Any]]) -> list[NDArray[Any]]:
    batches = []
    while len(batch := read()):
        batches.append(batch)
    return batches


class Datagrams:
    """A stream of numbered datagrams to one port of a workload, from a thread of its own, and which of them arrive."""

    def __init__(self, sender: Workload, receiver: Workload, port: int) -> None:
        self._to = (receiver.ipv4, port)
        self._out = sender.socket(address=sender.ipv4)
        self._in = receiver.socket(address=receiver.ipv4, port=port)
        self._in.settimeout(0.2)
        self._stop = threading.Event()
        self.sent = 0
        self.arrived: set[int] = set()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()
        self._out.close()
        self._in.close()

    def stop(self) -> None:
        """Send no more, and wait for what is on its way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _receive(self) -> None:
        """All the time: the socket's buffer holds 256 datagrams."""
        while True:
            try:
                self.arrived.add(int(self._in.recv(16)))
            except TimeoutError:
                if self._stop.is_set():
                    return

    def _send(self) -> None:
        while not self._stop.wait(0.0005):
            try:
                self._out.sendto(b"%d" % self.sent, self._to)
            except (ConnectionRefusedError, PermissionError):
                continue
            self.sent += 1


def policy(name: str, app: str, direction: str, peer: str, port: int, *, deny: bool = False) -> str:
    """A policy that allows (or denies) one peer one UDP port in one direction."""
    way = {"ingress": "from", "egress": "to"}[direction]
    return f"""---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: {name}, namespace: default}}
spec:
  endpointSelector: {{matchLabels: {{app: {app}}}}}
  {direction}{"Deny" if deny else ""}:
  - {way}Endpoints: [{{matchLabels: {{app: {peer}}}}}]
    toPorts: [{{ports: [{{port: "{port}", protocol: UDP}}]}}]
"""


def flows_of(stream: Iterator[Any], count: int, protocol: str = "") -> list[dict[str, Any]]:
    """The next flows of an event stream, of one protocol if given; none may be lost.

    A kernel tells its neighbours of new addresses (MLD) when it likes: who counts unfiltered flows names a protocol.
    """
    found: list[dict[str, Any]] = []
    while len(found) < count:
        flow = next(stream)
        assert "lost" not in flow
        if flow["port"].endswith(protocol):
            found.append(flow)
    return found
