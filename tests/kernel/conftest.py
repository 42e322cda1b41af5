"""Fixtures for tests with real packets. They need root and fail without it: skipping would hide a broken datapath."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ringfence.datapath import features
from ringfence.datapath.bpffs import ensure_bpffs
from ringfence.datapath.loader import pin_directory, unpin
from tests.kernel import world
from tests.kernel.agents import Agent
from tests.kernel.pairs import Pair, joined
from tests.kernel.world import Node, Workload

MakeNode = Callable[[str], Node]
AddWorkload = Callable[[str, str, str], Workload]


@pytest.fixture(scope="session", autouse=True)
def _ready() -> None:
    features.require()
    ensure_bpffs()
    world.remove_leftovers()


@pytest.fixture
def make_node() -> Iterator[MakeNode]:
    """Make nodes by name; all are removed at the end, also after a failure."""
    with ExitStack() as stack:

        def make(name: str) -> Node:
            node = Node(world.owned_name(name))
            # Before it exists, so that a half-made one is removed too.
            stack.callback(node.remove)
            node.make()
            return node

        yield make


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A network namespace that plays the node."""
    return make_node("node")


@pytest.fixture
def add_workload(node: Node) -> Callable[[str, str, str], Workload]:
    """Join a workload (name, IPv4, IPv6) to the node."""
    return node.add_workload


@pytest.fixture
def client(add_workload: AddWorkload) -> Workload:
    """A workload that asks."""
    return add_workload("client", "10.77.1.1", "fd77:1::1")


@pytest.fixture
def server(add_workload: AddWorkload) -> Workload:
    """A workload that is asked."""
    return add_workload("server", "10.77.1.2", "fd77:1::2")


@pytest.fixture
def agent(node: Node, tmp_path: Path) -> Iterator[Agent]:
    """An agent of the node that is not started yet."""
    found = Agent(node, world.owned_name("agent"), tmp_path)
    try:
        yield found
    finally:
        found.remove()


@pytest.fixture
def pins() -> Iterator[Path]:
    """A pin directory of this test, emptied at the end."""
    directory = pin_directory(world.owned_name("pins"))
    (directory / "links").mkdir(parents=True, mode=0o700)
    yield directory
    unpin(directory)


@pytest.fixture
def pair(node: Node, pins: Path) -> Iterator[Pair]:
    """Two workloads behind the real programs."""
    with joined(node, pins) as found:
        yield found
