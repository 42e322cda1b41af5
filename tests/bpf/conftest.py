"""Fixtures for tests of the programs through BPF_PROG_TEST_RUN."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringfence.datapath.loader import LoadedObject, load
from tests.bpf.host import Host

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


@pytest.fixture
def loaded() -> Iterator[LoadedObject]:
    with load({}, SMALL) as loaded:
        yield loaded


@pytest.fixture
def host(loaded: LoadedObject) -> Host:
    """A frontend and a backend, in both families, with nothing isolated."""
    host = Host(loaded)
    host.add("frontend", 300, "10.0.0.1", "fd00::1")
    host.add("backend", 301, "10.0.0.2", "fd00::2")
    return host
