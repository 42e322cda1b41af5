"""Every packet of the corpus at every hook: it is answered as the corpus says, told once, and left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from ringfence.abi import Reason
from ringfence.datapath.prefilter import PrefilterTable
from ringfence.datapath.syscall import prog_test_run
from tests.bpf.host import Host, Outcome
from tests.bpf.hostile import Hostile, corpus

CORPUS = pytest.mark.parametrize("packet", list(corpus()), ids=lambda packet: packet.name.replace(" ", "-"))
XDP_DROP = 1


@pytest.fixture
def prefilter(host: Host) -> Iterator[Host]:
    """The workloads' prefixes are on the prefilter's list, as if they were forged outside."""
    table = PrefilterTable(host.loaded.maps)
    table.replace([ip_network("10.0.0.0/8"), ip_network("fd00::/16")])
    yield host
    table.replace([])


def told(outcome: Outcome) -> str:
    """As the corpus says it; what is dropped without an event, or told twice, fails."""
    if outcome.passed:
        return "pass"
    assert outcome.reason != Reason.FORWARDED
    return f"drop {outcome.reason.name}"


@CORPUS
def test_what_a_workload_sends(closed: Host, packet: Hostile) -> None:
    """A hostile packet leaves a workload only where policy allows what it is; what is dropped is not changed."""
    outcome = closed.sends("frontend", packet.frame)
    assert told(outcome) == packet.outcomes["from_endpoint"]
    assert outcome.passed or outcome.run.data == packet.frame


@CORPUS
def test_what_a_workload_is_given(closed: Host, packet: Hostile) -> None:
    """A hostile packet comes to a workload only where policy allows what it is, and unchanged."""
    outcome = closed.gets("backend", packet.frame)
    assert told(outcome) == packet.outcomes["to_endpoint"]
    assert outcome.run.data == packet.frame


@CORPUS
def test_what_comes_from_outside(prefilter: Host, packet: Hostile) -> None:
    """No form of a packet hides its source from the prefilter."""
    run = prog_test_run(prefilter.loaded.programs["from_outside"], packet.frame)
    assert ("drop PREFILTER" if run.retval == XDP_DROP else "pass") == packet.outcomes["from_outside"]
    assert run.data == packet.frame


@CORPUS
@pytest.mark.parametrize("program", ["from_uplink", "to_uplink"])
def test_what_passes_an_uplink(closed: Host, packet: Hostile, program: str) -> None:
    """Where nothing is to be translated, a hostile packet is left as it is: the stack is what judges it there."""
    outcome = closed.run(program, packet.frame)
    assert outcome.run.data == packet.frame
    assert outcome.passed or outcome.reason == Reason.FRAGMENT_WITHOUT_FIRST
