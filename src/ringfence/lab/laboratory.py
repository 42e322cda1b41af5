"""A lab brought up and taken down: namespaces, servers, an agent of its own, its policies and its endpoints.

Everything of a lab carries its instance's name, so that taking it down needs no memory of how far bringing it up had
come: it removes whatever there is, also after a failure or a killed run.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from ringfence.api.client import Client
from ringfence.errors import NotFound, RingfenceError, Unavailable
from ringfence.lab import namespaces, processes, wiring
from ringfence.lab.echo import READY
from ringfence.lab.plan import Plan, prefix

PINS = Path("/sys/fs/bpf/ringfence")
START_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.02

Say = Callable[[str], None]


def socket_path(instance: str) -> str:
    """Path of the socket of a lab's agent."""
    return str(processes.directory(instance) / "agent.sock")


def flows_path(instance: str) -> Path:
    """Where a lab's agent keeps its history of flows."""
    return processes.directory(instance) / "flows"


def up(plan: Plan, sources: Sequence[tuple[str, str]], say: Say) -> None:
    """Bring a lab up with the policies of `sources` (name, text) in force; what an earlier one left is removed first.

    Policies are in force before the first endpoint is there. If anything fails, all of it is taken down again.
    """
    down(plan.instance)
    processes.directory(plan.instance).mkdir(parents=True)
    _manifests(plan.instance).write_text(json.dumps(sources))
    try:
        say(f"namespaces: node and {len(plan.pods)} pods")
        _wire(plan)
        _start_servers(plan)
        say("agent")
        start_agent(plan)
        with Client(socket_path(plan.instance)) as client:
            _fill(client, plan, sources, say)
    except BaseException:
        down(plan.instance)
        raise


def down(instance: str) -> bool:
    """Take a lab down; tells whether there was anything of it. Unavailable without root."""
    if os.geteuid() != 0:
        raise Unavailable("a lab needs root, for network namespaces and BPF; run it with sudo")
    found = _leftovers(instance)
    processes.stop(instance, "agent")
    processes.stop(instance, "servers")
    for name in namespaces.named(prefix(instance)):
        namespaces.remove(name)
    shutil.rmtree(PINS / instance, ignore_errors=True)
    processes.forget(instance)
    return found


def manifests(instance: str) -> list[tuple[str, str]]:
    """Return the sources that a lab was brought up with. NotFound where no lab of that name is up."""
    try:
        return [(name, text) for name, text in json.loads(_manifests(instance).read_text())]
    except FileNotFoundError as error:
        raise NotFound(f"there is no lab {instance}; bring one up with: ringfence lab up FILE...") from error


@contextmanager
def alone(instance: str) -> Iterator[None]:
    """Keep a lab to oneself: whoever else asks for it is refused, and does not clear it away as left over."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        try:
            # An abstract address is a lock that leaves no file behind and ends with its process.
            lock.bind(f"\0ringfence-lab-{instance}")
        except OSError as error:
            raise RingfenceError(f"the lab {instance} is in use by another process; take another --instance") from error
        yield


def start_agent(plan: Plan) -> None:
    """Start the lab's agent inside the node's namespace and wait until it answers."""
    place = processes.directory(plan.instance)
    arguments = ["-m", "ringfence.cli", "--instance", plan.instance, "--socket", socket_path(plan.instance)]
    # Inside the lab's own directory, which goes with the lab.
    directories = ["--state-dir", str(place / "state"), "--flows-dir", str(flows_path(plan.instance))]
    pid = processes.start(plan.instance, "agent", [*arguments, "agent", *directories], plan.node)
    _await(plan.instance, "agent", pid, lambda: _answers(plan.instance))


def _wire(plan: Plan) -> None:
    wiring.make_node(plan.node, plan.node_addresses)
    for pod in plan.pods:
        wiring.connect(plan.node, pod.wire)


def _start_servers(plan: Plan) -> None:
    place = processes.directory(plan.instance)
    services = place / "services.json"
    services.write_text(json.dumps(plan.services()))
    pid = processes.start(plan.instance, "servers", ["-m", "ringfence.lab.echo", str(services)], plan.node)
    _await(plan.instance, "servers", pid, lambda: READY in processes.log(plan.instance, "servers").split())


def _fill(client: Client, plan: Plan, sources: Sequence[tuple[str, str]], say: Say) -> None:
    if sources:
        applied = client.apply_policies(sources)
        say(f"policies: {', '.join(applied['applied']) or 'none'}")
        for warning in applied["warnings"]:
            say(f"{warning['file']}:{warning['line']}: warning: {warning['found']}; expected {warning['expected']}")
    for pod in plan.pods:
        client.put_endpoint(
            pod.name,
            netns=str(namespaces.RUN / pod.wire.namespace),
            interface=wiring.POD_INTERFACE,
            labels=pod.labels,
            namespace=pod.namespace,
            pod=pod.name.partition("/")[2],
            ports=pod.ports,
        )
    say(f"endpoints: {', '.join(pod.name for pod in plan.pods)}")


def _await(instance: str, role: str, pid: int, ready: Callable[[], bool]) -> None:
    end = monotonic() + START_SECONDS
    while not ready():
        processes.wait_or_fail(instance, role, pid, LOOK_AGAIN_SECONDS)
        if monotonic() > end:
            raise RingfenceError(f"the lab's {role} was not ready after {START_SECONDS:.0f} seconds")


def _answers(instance: str) -> bool:
    """The agent listens last of all, so whoever can connect will be answered."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        return attempt.connect_ex(socket_path(instance)) == 0


def _manifests(instance: str) -> Path:
    return processes.directory(instance) / "manifests.json"


def _leftovers(instance: str) -> bool:
    places = (processes.directory(instance), PINS / instance)
    return bool(namespaces.named(prefix(instance))) or any(place.exists() for place in places)
