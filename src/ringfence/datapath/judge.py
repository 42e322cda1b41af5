"""The kernel judge: the real programs, filled through a real commit, asked by BPF_PROG_TEST_RUN.

Of a compiled world it makes endpoints, ipcache and policy entries, runs the packet that would open the flow at the hook
where it would first be met, and reads the verdict and both rules from the event.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from ringfence.abi import Aggregation, Delivery, Direction, Reason, Verdict
from ringfence.datapath.commit import Committer
from ringfence.datapath.endpoints import EndpointTable
from ringfence.datapath.frames import opening_frame
from ringfence.datapath.loader import load
from ringfence.datapath.ringbuf import EventRing
from ringfence.datapath.syscall import prog_test_run
from ringfence.engine.commands import Commit, Peer, RuleRow, WriteEndpoint
from ringfence.errors import RingfenceError
from ringfence.policy.evaluate import addresses
from ringfence.policy.lookup import Lookup
from ringfence.policy.test import CompiledWorld
from ringfence.policy.world import Actor
from ringfence.traffic import Traffic
from ringfence.verdict import UNJUDGED, Decision, Judgement, RuleText

#: Index of the loopback, the interface of every test run.
_INTERFACE: Final = 1
_FIRST_PORT, _LAST_PORT = 1024, 65535


class KernelJudge:
    """Judges packets of one world in the kernel. A context manager: it owns the loaded object."""

    name = "kernel"

    def __init__(self, compiled: CompiledWorld) -> None:
        self._compiled = compiled
        self._lookup = Lookup(compiled.state.map)
        self._texts: list[RuleText] = list(dict.fromkeys(compiled.entries.values()))
        self._port = _FIRST_PORT
        with ExitStack() as on_failure:
            self._loaded = on_failure.enter_context(load({}, _sizes(compiled)))
            self._ring = on_failure.enter_context(EventRing(self._loaded.maps["events"]))
            self._loaded.maps[".data.events"].mmap_array()["event_aggregation"][0] = Aggregation.NONE
            self._fill()
            self._resources = on_failure.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the loaded object back."""
        self._resources.close()

    def judge(self, source: Actor, destination: Actor, traffic: Traffic) -> Judgement:
        """The verdict on the packet that opens a flow. Raises ValueError for ends of different families."""
        if not source.local and not destination.local:
            return UNJUDGED
        ends = addresses(source, destination, traffic)
        program = "from_endpoint" if source.local else "to_endpoint"
        frame = opening_frame(*ends, traffic, self._next_port())
        self._ring.read()
        prog_test_run(self._loaded.programs[program], frame)
        events = self._ring.read()
        if len(events) != 1:
            raise RingfenceError(f"the kernel told of {len(events)} verdicts on one packet")
        return self._judgement(events[0], ends, traffic)

    def _judgement(self, event: Any, ends: Any, traffic: Traffic) -> Judgement:
        verdict = Verdict(int(event["verdict"]))
        ipcache = self._compiled.state.ipcache
        sender, receiver = (ipcache.lookup(address) for address in ends)
        egress = self._decision(event, Direction.EGRESS, sender.identity, receiver, traffic)
        ingress = self._decision(event, Direction.INGRESS, receiver.identity, sender, traffic)
        if egress is None and ingress is None:
            raise RingfenceError(f"dropped unjudged: {Reason(int(event['reason'])).name}")
        return Judgement(verdict, egress, ingress)

    def _decision(self, event: Any, direction: Direction, subject: int, peer: Any, traffic: Traffic) -> Decision | None:
        """What the event says of a direction; the rules tied with the one named are read from the map state."""
        number = int(event[f"{direction.name.lower()}_rule"])
        if number == 0:
            return None
        rule = self._texts[number - 1]
        expected = self._lookup.decide(direction, subject, peer, traffic)
        tied = expected.tied if expected.rule == rule else (rule,)
        return Decision(rule.verdict, rule.reason, direction, rule, tied)

    def _next_port(self) -> int:
        """A source port of its own for each packet, so that none belongs to an earlier flow."""
        self._port = self._port + 1 if self._port < _LAST_PORT else _FIRST_PORT
        return self._port

    def _fill(self) -> None:
        table = EndpointTable(self._loaded.maps)
        rows = {name: row for row, name in enumerate(self._compiled.identities, start=1)}
        for row in rows.values():
            table.write(WriteEndpoint(row, row, _INTERFACE, bytes(6), bytes(6)), Delivery.STACK)
        Committer(self._loaded.maps).commit(_whole(self._compiled, self._texts, rows))


def _whole(compiled: CompiledWorld, texts: list[RuleText], rows: Mapping[str, int]) -> Commit:
    numbers = {text: number for number, text in enumerate(texts, start=1)}
    return Commit(
        rules={number: RuleRow(text.precedence, text.verdict, text.reason) for text, number in numbers.items()},
        policy={key: numbers[text] for key, text in compiled.entries.items()},
        peers={
            network: Peer(peer.identity, peer.prefix_class, rows[peer.pod] if peer.pod else 0)
            for network, peer in compiled.ipcache.items()
        },
    )


def _sizes(compiled: CompiledWorld) -> dict[str, int]:
    """Maps just large enough, so that a small world is loaded in milliseconds."""
    entries = max(256, 2 * len(compiled.entries))
    peers = max(256, 2 * len(compiled.ipcache))
    return {
        "policy": entries,
        "policy_records": entries,
        "record_hits": entries,
        "rules": max(256, len(compiled.entries) + 2),
        "ipcache": peers,
        "ipcache_exact": peers,
        "peer_records": peers,
        "endpoints": max(64, len(compiled.identities) + 1),
        "ct4": 256 * (os.cpu_count() or 1),
        "ct6": 256 * (os.cpu_count() or 1),
        "events": 65536,
    }
