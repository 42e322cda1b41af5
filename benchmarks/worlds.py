"""A world: a node's namespace, a client's and a server's, joined by veth pairs and plain routes. Each contender has one
of its own, so that what one leaves in a namespace (an empty iptables table still costs) is not measured with another.

Names carry the number of the process that made them; what a killed run left behind is found by that and removed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from os import getpid
from pathlib import Path
from typing import IO, Final, TypeVar

from benchmarks.scenario import ADDRESSES, ECHO_PORT, IPERF_PORT, SINK_PORT
from ringfence.datapath.interfaces import WorkloadInterface, workload_interface
from ringfence.datapath.loader import PIN_ROOT, unpin
from ringfence.lab import namespaces
from ringfence.lab.wiring import Wire, connect, make_node

PREFIX: Final = "rf-bench-"
NODE_ADDRESS: Final = "10.78.0.254"
ROWS: Final = {"client": 1, "server": 2}
# The echo server shares a CPU with its client: a wake-up of another CPU would drown what is measured.
PATH_CPU, OTHER_CPU = 1, 0
# A client of short connections needs its ports again; time stamps keep old segments apart.
_SETTINGS: Final = {"ipv4/tcp_tw_reuse": "1", "ipv4/ip_local_port_range": "1024 65535"}
Result = TypeVar("Result")


@dataclass(slots=True)
class World:
    """One contender's namespaces and servers."""

    name: str
    program: Path
    remembers: bool = False
    interfaces: dict[int, WorkloadInterface] = field(default_factory=dict)
    _servers: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def instance(self) -> str:
        """Name of this world, as a directory of pins can have it."""
        return f"{PREFIX}{getpid()}-{self.name}"

    def namespace(self, role: str) -> str:
        """Name of the namespace of `node`, `client` or `server`."""
        return f"{self.instance}-{role}"

    def make(self) -> None:
        """Make and join the namespaces and start the servers."""
        node = self.namespace("node")
        make_node(node, [ip_address(NODE_ADDRESS)])
        for role, row in ROWS.items():
            addresses = tuple(ip_address(text) for text in ADDRESSES[row])
            connect(node, Wire(self.namespace(role), row, addresses))
            self.interfaces[row] = self.run("node", partial(workload_interface, self.namespace(role)))
        self.run("client", _apply_settings)
        address = ADDRESSES[2][0]
        self._serve(str(self.program), str(PATH_CPU), "serve", address, str(ECHO_PORT), str(SINK_PORT))
        self._serve("iperf3", "-s", "-A", str(OTHER_CPU), "-p", str(IPERF_PORT), "--forceflush")

    def remove(self) -> None:
        """End the servers and remove the namespaces; what is not there is no error."""
        for server in self._servers:
            server.kill()
            server.communicate()
        for role in ("node", *ROWS):
            namespaces.remove(self.namespace(role))

    def run(self, role: str, work: Callable[[], Result]) -> Result:
        """Do some work inside one of the namespaces."""
        return namespaces.inside(self.namespace(role), work)

    def output(self, role: str, *command: str, text: str | None = None) -> str:
        """What a command prints inside a namespace. Raises RuntimeError with what it said when it fails."""
        done = self.run(role, lambda: _ended(command, text))
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _serve(self, *command: str) -> None:
        server = self.run("server", lambda: _started(command))
        self._servers.append(server)
        wait_until_ready(server)


def _ended(command: tuple[str, ...], text: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, input=text, check=False)


def _started(command: tuple[str, ...]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    """Read a process's output until it says that it listens. Raises RuntimeError when it ends before."""
    output: IO[str] | None = process.stdout
    for line in output or ():
        if "ready" in line or "listening" in line:
            return
    raise RuntimeError(f"{process.args!r} ended with {process.wait()} before it was ready")


def _apply_settings() -> None:
    for name, value in _SETTINGS.items():
        (Path("/proc/sys/net") / name).write_text(value)


def remove_leftovers() -> None:
    """Remove namespaces and pins of runs whose process is gone."""
    for name in filter(_abandoned, namespaces.named(PREFIX)):
        namespaces.remove(name)
    pinned = PIN_ROOT.iterdir() if PIN_ROOT.is_dir() else ()
    for instance in [path for path in pinned if _abandoned(path.name)]:
        for directory in list(instance.iterdir()):
            unpin(directory)


def _abandoned(name: str) -> bool:
    found = re.match(rf"{PREFIX}(\d+)-", name)
    return found is not None and not Path(f"/proc/{found[1]}").exists()


@contextmanager
def made(world: World) -> Iterator[World]:
    """A world that is removed at the end, also when making it failed half-way."""
    try:
        world.make()
        yield world
    finally:
        world.remove()
