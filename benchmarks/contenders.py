"""Contenders: what can stand on the path between the client and the server, each put into a world of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final

from benchmarks import scenario
from benchmarks.compiled import empty_program
from benchmarks.worlds import World
from ringfence.abi import Delivery
from ringfence.datapath import attach
from ringfence.datapath.bpffs import ensure_bpffs
from ringfence.datapath.commit import Committer
from ringfence.datapath.endpoints import EndpointTable
from ringfence.datapath.features import jiffies_per_second
from ringfence.datapath.links import Hook, link_create
from ringfence.datapath.loader import LoadedObject, load, pin_directory, unpin
from ringfence.datapath.rings import EventRings
from ringfence.engine.commands import Commit, WriteEndpoint

RULE_COUNTS: Final = (100, 1_000, 10_000)
#: Of each CPU: nobody reads while a measurement lasts, and one opens 64 k flows.
RING_BYTES: Final = 1 << 25
Drain = Callable[[], None]


class MissingError(RuntimeError):
    """This machine cannot run a contender."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A name for people, one for namespaces, and what puts it into a world as long as it is measured there."""

    name: str
    short: str
    install: Callable[[World], AbstractContextManager[Drain]]
    remembers: bool = False  # connections that were met before cost less


def contenders() -> list[Contender]:
    """All, in the order of the table. The first is what all others are held against."""
    peer, stack = (partial(_ringfence, delivery=each) for each in (Delivery.PEER, Delivery.STACK))
    found = [
        Contender("no policy", "none", _nothing),
        Contender("no policy, once more", "again", _nothing),
        Contender("empty program, tcx", "empty", _empty),
        Contender("Ringfence, delivered to the peer", "peer", peer, remembers=True),
        Contender("Ringfence, left to the stack", "stack", stack, remembers=True),
    ]
    for variant in ("legacy", "nft"):
        for count in RULE_COUNTS:
            install = partial(_iptables, variant=variant, count=count)
            found.append(Contender(f"iptables-{variant}, {count:,} rules", f"{variant}{count}", install))
    return found


def _nothing(_world: World) -> AbstractContextManager[Drain]:
    return nullcontext(lambda: None)


@contextmanager
def _empty(world: World) -> Iterator[Drain]:
    links: list[int] = []
    try:
        with empty_program() as program:
            for interface, hook in product(world.interfaces.values(), Hook):
                link = world.run("node", partial(link_create, program, interface.host_ifindex, hook))
                links.append(link)
        yield lambda: None
    finally:
        for link in links:
            os.close(link)


def _ringfence(world: World, delivery: Delivery) -> AbstractContextManager[Drain]:
    return enforced(world, delivery, scenario.policy())


@contextmanager
def enforced(world: World, delivery: Delivery, state: Commit) -> Iterator[Drain]:
    """Ringfence with a state of policies and services, at the interfaces of both."""
    ensure_bpffs()
    directory = pin_directory(world.instance)
    (directory / "links").mkdir(parents=True, mode=0o700)
    try:
        sizes = {"events": RING_BYTES}
        with load({"jiffies_per_second": jiffies_per_second()}, sizes) as loaded, EventRings(loaded.rings) as ring:
            _enforce(world, loaded, delivery, state)
            for interface in world.interfaces.values():
                world.run("node", partial(attach.attach, loaded, interface.host_ifindex, directory))
            yield partial(_drain, loaded, ring)
    finally:
        unpin(directory)


def _enforce(world: World, loaded: LoadedObject, delivery: Delivery, state: Commit) -> None:
    table = EndpointTable(loaded.maps)
    for row, interface in world.interfaces.items():
        endpoint = WriteEndpoint(row, row, interface.host_ifindex, interface.mac, interface.host_mac)
        table.write(endpoint, delivery)
    Committer(loaded.maps).commit(state)


def _drain(loaded: LoadedObject, ring: EventRings) -> None:
    """Make room for the events of the next measurement; one that lost any did less than its work."""
    while len(ring.read()):
        pass
    lost = int(loaded.maps["event_tally"].lookup(0)["lost"])
    if lost:
        raise RuntimeError(f"{lost} events were lost: the ring is too small for one measurement")


@contextmanager
def _iptables(world: World, variant: str, count: int) -> Iterator[Drain]:
    try:
        world.output("node", f"iptables-{variant}-restore", text=_rules(count))
    except (RuntimeError, FileNotFoundError) as error:
        raise MissingError(str(error)) from error
    yield lambda: None


def _rules(count: int) -> str:
    """A chain that drops by default, where the last rule is the one that lets the client and the server talk."""
    others = [
        f"-A FORWARD -s 10.{80 + number // 65536}.{number // 256 % 256}.{number % 256}/32 -d 10.78.0.2/32"
        f" -p tcp -m tcp --dport {scenario.ECHO_PORT} -j ACCEPT"
        for number in range(count - 1)
    ]
    last = "-A FORWARD -s 10.78.0.0/24 -d 10.78.0.0/24 -j ACCEPT"
    return "\n".join(["*filter", ":FORWARD DROP [0:0]", *others, last, "COMMIT", ""])
