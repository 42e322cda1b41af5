"""The commit protocol under fire: packets judged on one CPU while the other commits without pause.

Every packet writes an event with its revision and both rules, and each is held against the state of that revision.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether

from ringfence.abi import Direction, Reason, Verdict
from ringfence.datapath.loader import load
from ringfence.datapath.syscall import prog_test_run
from ringfence.engine.commands import Commit, Peer, RuleRow
from ringfence.policy.mapstate import PolicyKey
from tests.bpf.conftest import SMALL
from tests.bpf.host import DEFAULT_PRECEDENCE, LOOPBACK, Host, ip, key

JUDGEMENTS = 2_000_000
PER_RUN = 50_000
ALLOW = RuleRow(2, Verdict.ALLOW, Reason.FORWARDED)
DENY = RuleRow(3, Verdict.DENY, Reason.POLICY_DENY_RULE)
FRONT, BACK = 300, 301
EGRESS = key(FRONT, Direction.EGRESS, BACK, protocol=17, port=53)
INGRESS = key(BACK, Direction.INGRESS, FRONT, protocol=17, port=53)


@dataclass
class Race:
    """One CPU runs a packet over and over; the other commits `states` in turn and checks what it reads."""

    host: Host
    frame: bytes
    states: list[Commit]
    first: int = 0
    judged: int = 0
    seen: int = 0
    failure: list[BaseException] = field(default_factory=list)

    def run(self, check: Callable[[NDArray[Any], NDArray[np.int64]], None]) -> None:
        """`check` gets events and the index of the state that each one's revision has."""
        self.host.ring.read()
        self.first = self.host.committer.commit(self.states[0])
        judge = threading.Thread(target=self._judge)
        judge.start()
        cpu = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cpu)})
        try:
            while judge.is_alive():
                self._commit_and_check(check)
        finally:
            judge.join()
            os.sched_setaffinity(0, cpu)
        assert not self.failure

    def _commit_and_check(self, check: Callable[[NDArray[Any], NDArray[np.int64]], None]) -> None:
        for _ in range(20):
            revision = self.host.committer.revision + 1
            self.host.committer.commit(self.states[(revision - self.first) % len(self.states)])
        events = self.host.ring.read()
        events = events[events["revision"] >= self.first]
        self.seen += len(events)
        check(events, (events["revision"].astype(np.int64) - self.first) % len(self.states))

    def _judge(self) -> None:
        try:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            while self.judged < JUDGEMENTS:
                prog_test_run(self.host.loaded.programs["from_endpoint"], self.frame, b"", PER_RUN)
                self.judged += PER_RUN
        except BaseException as error:  # the main thread reports it
            self.failure.append(error)
            raise


@pytest.fixture
def racing() -> Iterator[Callable[[list[Commit]], Race]]:
    """A host with two endpoints that sends one UDP packet; every packet writes an event."""
    with load({}, SMALL | {"events": 1 << 24}) as loaded:
        host = Host(loaded)
        front = host.add("front", FRONT, "10.0.0.1")
        host.add("back", BACK, "10.0.0.2")
        host.every_packet_writes_an_event()
        host.place(front, LOOPBACK)
        frame = bytes(Ether(src=front.mac, dst="02:00:00:00:00:01") / ip("10.0.0.1", "10.0.0.2") / UDP(dport=53))
        yield lambda states: Race(host, frame, states)


def with_rules(policy: dict[PolicyKey, int]) -> Commit:
    """A commit of entries; rules 101 and 102 allow, 103 and 104 deny."""
    rows = {101: ALLOW, 102: ALLOW, 103: DENY, 104: DENY}
    return Commit(rules=rows, policy=policy)


def test_no_packet_is_judged_by_egress_of_one_revision_and_ingress_of_another(
    racing: Callable[[list[Commit]], Race],
) -> None:
    """Where every state denies on one side, only a mixture of two states could let a packet through; none does."""
    race = racing([with_rules({EGRESS: 101, INGRESS: 103}), with_rules({EGRESS: 104, INGRESS: 102})])

    def check(events: NDArray[Any], state: NDArray[np.int64]) -> None:
        assert (events["verdict"] == Verdict.DENY).all()
        assert (events["egress_rule"] == np.where(state == 0, 101, 104)).all()
        assert (events["ingress_rule"] == np.where(state == 0, 103, 0)).all()

    race.run(check)
    assert race.judged >= JUDGEMENTS
    assert race.seen > race.judged // 100
    assert race.host.counted(Reason.FORWARDED, Direction.EGRESS) == 0


def test_an_entry_that_comes_and_goes_is_found_exactly_at_its_revisions(
    racing: Callable[[list[Commit]], Race],
) -> None:
    """Keys inserted and deleted under the judge decide for their revisions, and the broader entry for the others."""
    broad = key(FRONT, Direction.EGRESS, BACK)
    race = racing([with_rules({EGRESS: 103, broad: 104}), with_rules({EGRESS: 0})])

    def check(events: NDArray[Any], state: NDArray[np.int64]) -> None:
        assert (events["egress_rule"] == np.where(state == 0, 103, 104)).all()
        assert (events["reason"] == Reason.POLICY_DENY_RULE).all()

    race.run(check)
    assert race.seen > race.judged // 100


def test_workloads_that_swap_labels_are_never_seen_as_a_pair_that_did_not_exist(
    racing: Callable[[list[Commit]], Race],
) -> None:
    """Two endpoints whose identities are swapped by each commit always meet as one of the two pairs."""
    one, other = ip_network("10.0.0.1/32"), ip_network("10.0.0.2/32")
    race = racing(
        [
            Commit(peers={one: Peer(FRONT, 0, 1), other: Peer(BACK, 0, 2)}),
            Commit(peers={one: Peer(BACK, 0, 1), other: Peer(FRONT, 0, 2)}),
        ]
    )

    def check(events: NDArray[Any], state: NDArray[np.int64]) -> None:
        assert (events["source_identity"] == np.where(state == 0, FRONT, BACK)).all()
        assert (events["destination_identity"] == np.where(state == 0, BACK, FRONT)).all()

    race.run(check)
    assert race.seen > race.judged // 100


def test_a_live_connection_follows_every_commit(racing: Callable[[list[Commit]], Race]) -> None:
    """A flow that is allowed, denied, allowed again is let through and dropped by exactly the revision that says so."""
    allowed = RuleRow(DEFAULT_PRECEDENCE, Verdict.ALLOW, Reason.FORWARDED)
    race = racing([Commit(rules={105: allowed}, policy={INGRESS: 105}), with_rules({INGRESS: 103})])

    def check(events: NDArray[Any], state: NDArray[np.int64]) -> None:
        assert (events["verdict"] == np.where(state == 0, Verdict.ALLOW, Verdict.DENY)).all()
        assert (events["ingress_rule"] == np.where(state == 0, 105, 103)).all()

    race.run(check)
    assert race.seen > race.judged // 100
