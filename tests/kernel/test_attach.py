"""Attaching by both mechanisms, seen by real packets through a program that counts and can close."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ringfence.abi.layout import read_layout
from ringfence.datapath import attach, clsact
from ringfence.datapath.attach import Mechanism
from ringfence.datapath.libbpf import BpfObject
from ringfence.datapath.links import Hook
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.syscall import BpfMap
from ringfence.errors import NotFound
from tests.kernel.conftest import MakeNode
from tests.kernel.world import Node, Workload, answers, ask

GATE = Path(__file__).parent / "gate.bpf.c"
MECHANISMS = pytest.mark.parametrize("mechanism", list(Mechanism))
Load = Callable[[], LoadedObject]


@pytest.fixture
def load_gate(compile_file: Callable[[Path], bytes]) -> Iterator[Load]:
    """Load another instance of the counting program."""
    content = compile_file(GATE)
    specs = read_layout(content).maps
    loaded: list[LoadedObject] = []

    def load() -> LoadedObject:
        with BpfObject(content, "gate") as opened:
            opened.load()
            programs = {name: os.dup(fd) for name, fd in opened.programs().items()}
            maps = {name: BpfMap(os.dup(fd), specs[name]) for name, fd in opened.maps().items() if name in specs}
        loaded.append(LoadedObject(programs, maps))
        return loaded[-1]

    yield load
    for item in loaded:
        item.close()


@pytest.fixture
def frontend(node: Node) -> Workload:
    return node.add_workload("frontend", "10.77.1.1", "fd77::11")


@pytest.fixture
def backend(node: Node) -> Workload:
    return node.add_workload("backend", "10.77.1.2", "fd77::12")


def seen(gate: LoadedObject) -> tuple[int, int]:
    """Packets met from and to the endpoint."""
    _rows, counts = gate.maps["seen"].dump()
    return int(counts[0]), int(counts[1])


def attach_in(node: Node, gate: LoadedObject, ifindex: int, pins: Path, mechanism: Mechanism) -> None:
    node.run(lambda: attach.attach(gate, ifindex, pins, mechanism))


def query(node: Node, ifindex: int) -> tuple[attach.Attached, ...]:
    return node.run(lambda: attach.query(ifindex))


def programs_ok(node: Node, gate: LoadedObject, ifindex: int) -> bool:
    return node.run(lambda: attach.programs_ok(gate, ifindex))


def close_gate(gate: LoadedObject) -> None:
    gate.maps[".data.gate"].mmap_array()["closed"] = 1


@MECHANISMS
def test_both_directions_are_met(
    node: Node, frontend: Workload, backend: Workload, load_gate: Load, pins: Path, mechanism: Mechanism
) -> None:
    """Each packet from an endpoint and each packet to it meets its program once."""
    gate = load_gate()
    attach_in(node, gate, backend.ifindex, pins, mechanism)
    assert answers(frontend, backend)
    assert (1, 1) == seen(gate)


@MECHANISMS
def test_verdict_counts(
    node: Node, frontend: Workload, backend: Workload, load_gate: Load, pins: Path, mechanism: Mechanism
) -> None:
    """A drop is a drop: the program's return value is the verdict, not a classification."""
    gate = load_gate()
    attach_in(node, gate, backend.ifindex, pins, mechanism)
    close_gate(gate)
    assert not answers(frontend, backend)
    assert (0, 1) == seen(gate)


@MECHANISMS
def test_query_is_what_the_kernel_runs(
    node: Node, frontend: Workload, load_gate: Load, pins: Path, mechanism: Mechanism
) -> None:
    """Both hooks are listed with the attached programs, and none after detaching."""
    gate = load_gate()
    attach_in(node, gate, frontend.ifindex, pins, mechanism)
    found = query(node, frontend.ifindex)
    assert [(Hook.EGRESS, mechanism), (Hook.INGRESS, mechanism)] == [(item.hook, item.mechanism) for item in found]
    assert programs_ok(node, gate, frontend.ifindex)
    node.run(lambda: attach.detach(frontend.ifindex, pins))
    assert () == query(node, frontend.ifindex)


@MECHANISMS
def test_swap_leaves_no_packet_unjudged(
    node: Node, frontend: Workload, backend: Workload, load_gate: Load, pins: Path, mechanism: Mechanism
) -> None:
    """While programs are swapped under traffic, every packet meets exactly one of them."""
    gates = [load_gate(), load_gate()]
    attach_in(node, gates[0], backend.ifindex, pins, mechanism)
    sent, stop = 0, False
    with closing(backend.socket(address=backend.ipv4, port=7777)), closing(frontend.socket()) as client:

        def send() -> None:
            nonlocal sent
            while not stop:
                client.sendto(b"x", (backend.ipv4, 7777))
                sent += 1

        sender = Thread(target=send)
        sender.start()
        for turn in range(20):
            attach_in(node, gates[turn % 2], backend.ifindex, pins, mechanism)
        stop = True
        sender.join()
    met = [seen(gate)[1] for gate in gates]
    assert all(met)
    assert sent == sum(met)


def test_changing_the_mechanism_leaves_one(
    node: Node, frontend: Workload, backend: Workload, load_gate: Load, pins: Path
) -> None:
    """After a change of mechanism each packet meets one program, not two."""
    gate = load_gate()
    for mechanism in (Mechanism.TCX, Mechanism.CLSACT, Mechanism.TCX):
        attach_in(node, gate, backend.ifindex, pins, mechanism)
        found = query(node, backend.ifindex)
        assert [mechanism, mechanism] == [item.mechanism for item in found]
    assert answers(frontend, backend)
    assert (1, 1) == seen(gate)


@MECHANISMS
def test_enforcement_outlives_the_process(
    node: Node, frontend: Workload, backend: Workload, load_gate: Load, pins: Path, mechanism: Mechanism
) -> None:
    """Once every descriptor is closed, both programs are still attached and still judge."""
    gate = load_gate()
    close_gate(gate)
    attach_in(node, gate, backend.ifindex, pins, mechanism)
    gate.close()
    assert 2 == len(query(node, backend.ifindex))
    assert not answers(frontend, backend)


def test_pin_of_another_namespaces_interface_is_not_taken_for_ours(
    make_node: MakeNode, load_gate: Load, pins: Path
) -> None:
    """A pinned link on the same index in another namespace does not stand for this one's interface."""
    gate, nodes = load_gate(), [make_node("one"), make_node("two")]
    workloads = [node.add_workload("w", "10.77.1.1", "fd77::11") for node in nodes]
    assert workloads[0].ifindex == workloads[1].ifindex
    for node, workload in zip(nodes, workloads, strict=True):
        attach_in(node, gate, workload.ifindex, pins, Mechanism.TCX)
        assert programs_ok(node, gate, workload.ifindex)


def test_pin_that_outlived_its_interface_is_replaced(
    node: Node, frontend: Workload, load_gate: Load, pins: Path
) -> None:
    """An interface made anew under an old index gets programs of its own, whatever is pinned for that index."""
    gate, index = load_gate(), frontend.ifindex
    attach_in(node, gate, index, pins, Mechanism.TCX)
    ask(lambda route: route.link("del", index=index), node.namespace)
    ask(lambda route: route.link("add", ifname="anew", kind="veth", peer="other", index=index), node.namespace)
    assert () == query(node, index)
    attach_in(node, gate, index, pins, Mechanism.TCX)
    assert programs_ok(node, gate, index)


@MECHANISMS
def test_vanished_interface_is_told(node: Node, load_gate: Load, pins: Path, mechanism: Mechanism) -> None:
    """Attaching to an index that does not exist says so; detaching from it only tidies up."""
    gate = load_gate()
    with pytest.raises(NotFound, match="interface 4000 is gone"):
        attach_in(node, gate, 4000, pins, mechanism)
    node.run(lambda: attach.detach(4000, pins))
    assert [] == list((pins / "links").iterdir())


@pytest.mark.parametrize("preference", [1, 9])
def test_filters_of_others_stay(node: Node, frontend: Workload, load_gate: Load, pins: Path, preference: int) -> None:
    """Attaching and detaching touch our filters alone: another's stays, at our preference too, with its qdisc."""
    gate, other = load_gate(), load_gate()
    index, program = frontend.ifindex, other.programs["from_endpoint"]
    place = {"parent": "ffff:fff2", "handle": 1, "prio": preference, "protocol": 3, "direct_action": True}

    def add_theirs(route: Any) -> None:
        route.tc("add", "clsact", index)
        route.tc("add-filter", "bpf", index, fd=program, name="theirs", **place)

    ask(add_theirs, node.namespace)
    attach_in(node, gate, index, pins, Mechanism.CLSACT)
    assert programs_ok(node, gate, index)
    assert 2 == len(node.run(lambda: clsact.listed(index, Hook.INGRESS)))
    node.run(lambda: attach.detach(index, pins))
    left = node.run(lambda: clsact.listed(index, Hook.INGRESS))
    assert ["theirs"] == [item.name for item in left]
