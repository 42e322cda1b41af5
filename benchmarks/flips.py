"""The flip of a rule, through the whole agent: from the call to the kernel's time of the first packet judged by it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from os import getpid
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.compiled import traffic_program
from benchmarks.worlds import PATH_CPU, wait_until_ready
from ringfence.api.client import Client
from ringfence.api.watch import Watcher
from ringfence.lab import laboratory, namespaces
from ringfence.lab.plan import Plan, plan
from ringfence.lab.processes import RUN

INSTANCE: Final = "bench-"
PACE_MICROSECONDS: Final = 100
PATIENCE_SECONDS: Final = 5.0
PORT: Final = 8080
UID: Final = "CiliumNetworkPolicy/default/block"
ADDRESSES: Final = {"client": "10.79.0.1", "server": "10.79.0.2"}
_PORTS: Final = {"toPorts": [{"ports": [{"port": str(PORT), "protocol": "UDP"}]}]}


def _pod(name: str) -> str:
    metadata = {"name": name, "labels": {"app": name}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"podIP": ADDRESSES[name]}})


def _policy(name: str, **rules: object) -> tuple[str, str]:
    """A policy for the server, in the JSON that is YAML too."""
    spec = {"endpointSelector": {"matchLabels": {"app": "server"}}, **rules}
    metadata = {"name": name, "namespace": "default"}
    text = json.dumps({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": metadata, "spec": spec})
    return f"{name}.yaml", text


WORKLOADS: Final = ("workloads.yaml", "\n---\n".join(map(_pod, ADDRESSES)))
ALLOW: Final = _policy("allow", ingress=[{"fromEndpoints": [{"matchLabels": {"app": "client"}}], **_PORTS}])
BLOCK: Final = _policy("block", ingressDeny=[_PORTS])


@dataclass(frozen=True, slots=True)
class Flips:
    """Milliseconds from the call to the first packet judged, sorted."""

    milliseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.milliseconds)

    @property
    def most(self) -> float:
        return self.milliseconds[-1]

    def share_within(self, limit: float) -> float:
        """Part of the flips that took at most so many milliseconds."""
        return sum(each <= limit for each in self.milliseconds) / len(self.milliseconds)


def measure(count: int, say: Callable[[str], None]) -> Flips:
    """Block and open a port in turn, so many times, while a datagram comes every 100 microseconds."""
    laid_out = plan(f"{INSTANCE}{getpid()}", [WORKLOADS])
    with TemporaryDirectory() as directory, _lab(laid_out, say) as (client, watcher):
        program = traffic_program(Path(directory))
        say(f"flips: {count}")
        # The first of each kind meets code that has never run.
        taken = [_flip(client, watcher, laid_out, program, block=number % 2 == 0) for number in range(count + 2)]
    return Flips(tuple(sorted(taken[2:])))


@contextmanager
def _lab(laid_out: Plan, say: Callable[[str], None]) -> Iterator[tuple[Client, Watcher]]:
    laboratory.up(laid_out, [ALLOW], say)
    with ExitStack() as stack:
        stack.callback(laboratory.down, laid_out.instance)
        socket = laboratory.socket_path(laid_out.instance)
        watcher = Watcher(socket)
        watcher.start()
        client = stack.enter_context(Client(socket))
        # Denials of a flow beyond a second's limit are told with the next second's first only.
        client.configure(denial_limit=0)
        # The requests' own connection, and code that has never run, would be timed with the first flip.
        client.policies()
        yield client, watcher


def _flip(client: Client, watcher: Watcher, laid_out: Plan, program: Path, *, block: bool) -> float:
    with _paced(laid_out, program):
        called = datetime.now(UTC)
        answer = client.apply_policies([BLOCK]) if block else client.delete_policies([UID])
        judged = watcher.first_judged(answer["revision"], PATIENCE_SECONDS)
    if judged is None:
        raise RuntimeError(f"no packet was judged by revision {answer['revision']} within {PATIENCE_SECONDS:.0f} s")
    return (judged - called).total_seconds() * 1000


@contextmanager
def _paced(laid_out: Plan, program: Path) -> Iterator[None]:
    """Traffic from the client to the server, only as long as a flip takes: each denied datagram is an event."""
    sender = next(pod.wire.namespace for pod in laid_out.pods if pod.name == "default/client")
    command = (str(program), str(PATH_CPU), "pace", ADDRESSES["server"], str(PORT), str(PACE_MICROSECONDS))
    started = namespaces.inside(sender, lambda: subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    try:
        wait_until_ready(started)
        yield
    finally:
        started.kill()
        started.communicate()


def remove_leftovers() -> None:
    """Take down the labs of runs whose process is gone."""
    for place in RUN.glob(f"{INSTANCE}*"):
        found = re.fullmatch(rf"{INSTANCE}(\d+)", place.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            laboratory.down(place.name)
