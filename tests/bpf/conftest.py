"""Fixtures for tests of the programs through BPF_PROG_TEST_RUN."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ringfence.abi import Aggregation, Direction
from ringfence.datapath.judge import JudgingKernel
from ringfence.datapath.loader import LoadedObject, load
from ringfence.datapath.syscall import BpfMap
from tests.bpf.host import Host, key
from tests.bpf.packets import NETWORKS, SERVER_PORT, Network

SMALL = {
    "ct4": 4096,
    "ct6": 4096,
    "events": 1 << 20,
    "policy": 4096,
    "policy_records": 4096,
    "record_hits": 4096,
    "rules": 4096,
    "peer_records": 4096,
}
FRONTEND, BACKEND, STRANGER, WORLD = 300, 301, 302, 2


@pytest.fixture(scope="session")
def verified() -> Iterator[LoadedObject]:
    """One object for all tests: the verifier takes half a second for it."""
    with load({}, SMALL) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def judging() -> Iterator[JudgingKernel]:
    """One object that is taken from world to world by ordinary commits."""
    with JudgingKernel() as kernel:
        yield kernel


@pytest.fixture
def loaded(verified: LoadedObject) -> LoadedObject:
    """The object as if it were just loaded."""
    for bpf_map in verified.maps.values():
        wipe(bpf_map)
    settings = verified.maps[".data.events"].mmap_array()
    settings["event_aggregation"][0] = Aggregation.CONNECTIONS
    return verified


def wipe(bpf_map: BpfMap) -> None:
    """Empty a map, or fill it with zeros."""
    if bpf_map.spec.name == "events" or bpf_map.spec.name.endswith("_scratch"):
        return  # the rings are read before each run; the programs clean their scratch
    if not bpf_map.spec.type.array:
        bpf_map.delete_batch(bpf_map.dump()[0])
    elif bpf_map.spec.type.per_cpu:
        rows = np.arange(bpf_map.max_entries, dtype=np.uint32)
        bpf_map.update_batch(rows, np.zeros(len(rows), bpf_map.value_dtype))
    else:
        bpf_map.mmap_array()[...] = np.zeros((), bpf_map.mmap_array().dtype)


@pytest.fixture
def host(loaded: LoadedObject) -> Host:
    """A frontend and a backend, in both families, with nothing isolated."""
    host = Host(loaded)
    host.add("frontend", FRONTEND, "10.0.0.1", "fd00::1")
    host.add("backend", BACKEND, "10.0.0.2", "fd00::2")
    return host


@pytest.fixture(params=NETWORKS, ids=["IPv4", "IPv6"])
def net(request: pytest.FixtureRequest) -> Network:
    """The addresses of each family in turn."""
    network: Network = request.param
    return network


@pytest.fixture
def closed(host: Host) -> Host:
    """The frontend may open TCP and UDP to one port of the backend, and nothing else."""
    for name in host.endpoints:
        for direction in Direction:
            host.isolate(name, direction)
    for protocol in (6, 17):
        host.allow(key(FRONTEND, Direction.EGRESS, BACKEND, protocol=protocol, port=SERVER_PORT))
        host.allow(key(BACKEND, Direction.INGRESS, FRONTEND, protocol=protocol, port=SERVER_PORT))
    return host
