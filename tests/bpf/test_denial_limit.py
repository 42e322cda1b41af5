"""Denials that repeat: what of them is told one by one, and what as a number."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator

import pytest

from ringfence.abi import DenialLayout, Direction, Reason
from ringfence.datapath.syscall import prog_test_run
from ringfence.datapath.untold import HeldBack
from tests.bpf.host import LOOPBACK, Host, framed
from tests.bpf.packets import Network, tcp, udp

LIMIT = 3
SIZE = {4: 40, 6: 60}


@pytest.fixture(autouse=True)
def _on_one_cpu() -> Iterator[None]:
    """Limits are each CPU's own."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture
def closed(host: Host) -> Host:
    """A backend that lets nobody in, and tells three denials of a flow a second."""
    host.isolate("backend", Direction.INGRESS)
    host.limit_denials(LIMIT)
    return host


def knock(host: Host, net: Network, times: int, sport: int = 40000, dport: int = 8080) -> list[int]:
    """Try so often; how many denied packets each event stood for."""
    outcomes = [host.sends("frontend", tcp(net.frontend, net.backend, sport=sport, dport=dport)) for _ in range(times)]
    assert not any(outcome.passed for outcome in outcomes)
    return [int(event["packets"][0]) for outcome in outcomes for event in outcome.events]


def a_second_later(host: Host) -> None:
    """As if the rows had begun to count a second earlier."""
    limits = host.loaded.maps["denial_limits"]
    rows, values = limits.dump_by_cpu()
    values["since"] -= values["since"].clip(0, 1000)
    for row in rows[values["flow"].any(axis=1)]:
        limits.update_by_cpu(row, values[row])


def held_back(host: Host) -> int:
    return int(host.loaded.maps["event_tally"].lookup(0)["held_back"])


def test_the_first_denials_of_a_flow_are_told(closed: Host, net: Network) -> None:
    """So many a second; all are denied and counted, those beyond as held back."""
    assert [1] * LIMIT == knock(closed, net, 10)
    assert 10 - LIMIT == held_back(closed)
    assert 10 == closed.counted(Reason.POLICY_DENIED, Direction.INGRESS)


def test_what_was_held_back_is_told_by_the_next_event(closed: Host, net: Network) -> None:
    """The next second's first event of the flow stands for itself and for all that was held back."""
    knock(closed, net, 10)
    a_second_later(closed)
    outcome = closed.sends("frontend", tcp(net.frontend, net.backend, sport=40000, dport=8080))
    assert 1 + 10 - LIMIT == outcome.event["packets"][0]
    assert (1 + 10 - LIMIT) * SIZE[net.family] == outcome.event["bytes"][0]
    assert [1] * (LIMIT - 1) == knock(closed, net, LIMIT - 1)


def test_a_flow_is_the_same_from_every_source_port(closed: Host, net: Network) -> None:
    """Trying again from another port does not get around the limit."""
    assert LIMIT == sum(len(knock(closed, net, 1, sport=port)) for port in range(40000, 40010))


def test_a_flood_does_not_hide_another_flow(closed: Host, net: Network) -> None:
    """The limit is each flow's own."""
    knock(closed, net, 20)
    assert [1] == knock(closed, net, 1, dport=8081)
    assert 1 == len(closed.sends("frontend", udp(net.frontend, net.backend)).events)


def test_a_flood_of_many_flows_is_bounded(closed: Host, net: Network) -> None:
    """A scan of all ports fills the rows and then shares one row's budget: it cannot fill the ring."""
    closed.limit_denials(1)
    closed.place(closed.endpoints["frontend"], LOOPBACK)
    program, tries = closed.loaded.programs["from_endpoint"], 4 * DenialLayout.ROWS
    frame = bytearray(framed(tcp(net.frontend, net.backend)))
    at, start = (36, 14 + 20) if net.family == 4 else (56, 14 + 40)
    assert frame[start + 2 : start + 4] == frame[at : at + 2]
    begun = time.monotonic()
    for port in range(1, tries + 1):
        frame[at : at + 2] = port.to_bytes(2, "big")
        prog_test_run(program, bytes(frame))
    seconds = math.ceil(time.monotonic() - begun) + 1
    told = len(closed.ring.read())
    assert DenialLayout.ROWS // 2 < told <= seconds * (DenialLayout.ROWS + DenialLayout.OTHERS)
    assert tries == told + held_back(closed)


def test_the_rest_of_a_silent_flow_is_told_when_somebody_looks(closed: Host, net: Network) -> None:
    """What no later event tells is told as an event of the flow, once it is silent for a second, and once only."""
    knock(closed, net, 10)
    rest = HeldBack(closed.loaded)
    assert (0, 0) == (rest.tell(), len(closed.ring.read()))
    a_second_later(closed)
    assert 1 == rest.tell()
    (event,) = closed.ring.read()
    assert (10 - LIMIT, 8080) == (event["packets"][0], event["destination_port"])
    assert (Reason.POLICY_DENIED, (10 - LIMIT) * SIZE[net.family]) == (event["reason"], event["bytes"][0])
    assert (0, 0) == (rest.tell(), len(closed.ring.read()))


def test_who_takes_a_row_tells_what_its_flow_held_back(closed: Host, net: Network) -> None:
    """A row that another flow takes over tells the rest of the one before."""
    knock(closed, net, 10)
    limits = closed.loaded.maps["denial_limits"]
    a_second_later(closed)
    rows, values = limits.dump_by_cpu()
    (row,) = rows[values["flow"].any(axis=1)]
    values["flow"][row] ^= 2  # as if another flow had the row
    limits.update_by_cpu(row, values[row])
    told = knock(closed, net, 1)
    assert [10 - LIMIT, 1] == told


def test_no_limit_tells_every_denial(closed: Host, net: Network) -> None:
    """A limit of 0 is none."""
    closed.limit_denials(0)
    assert [1] * 20 == knock(closed, net, 20)
    assert 0 == held_back(closed)
