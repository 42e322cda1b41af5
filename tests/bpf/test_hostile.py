"""Every packet of the corpus at every hook: it is answered as the corpus says, told once, and left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from ringfence.abi import Direction, Reason, Verdict
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.prefilter import PrefilterTable
from ringfence.datapath.syscall import prog_test_run
from ringfence.engine.commands import Peer, RuleRow
from ringfence.identity.reserved import Reserved
from tests.bpf.host import DEFAULT_PRECEDENCE, Host, Outcome, key
from tests.bpf.hostile import Hostile, corpus
from tests.bpf.packets import SERVER_PORT
from tests.bpf.test_host_policy import default_of_the_node

CORPUS = pytest.mark.parametrize("packet", list(corpus()), ids=lambda packet: packet.name.replace(" ", "-"))
XDP_DROP = 1
#: Of whom the corpus speaks.
FRONTEND_ADDRESSES, BACKEND_ADDRESSES = ["10.0.0.1", "fd00::1"], ["10.0.0.2", "fd00::2"]


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
@pytest.mark.parametrize(("program", "node"), [("from_uplink", BACKEND_ADDRESSES), ("to_uplink", FRONTEND_ADDRESSES)])
def test_what_passes_an_uplink(loaded: LoadedObject, packet: Hostile, program: str, node: list[str]) -> None:
    """To or from a node that policy lets speak TCP and UDP at one port, a hostile packet passes only where it is that,
    and is left as it is.
    """
    host = Host(loaded)
    host.known({address: Peer(Reserved.HOST, 0, 0) for address in node})
    for direction in Direction:
        # Its defaults are how the datapath knows that policies select it.
        host.enter(default_of_the_node(direction), RuleRow(DEFAULT_PRECEDENCE, Verdict.ALLOW, Reason.FORWARDED))
        host.enter(key(Reserved.HOST, direction), RuleRow(DEFAULT_PRECEDENCE, Verdict.DENY, Reason.POLICY_DENIED))
        for protocol in (6, 17):
            host.allow(key(Reserved.HOST, direction, protocol=protocol, port=SERVER_PORT))
    outcome = host.run(program, packet.frame)
    assert outcome.run.data == packet.frame
    assert told(outcome) == packet.outcomes[program]
