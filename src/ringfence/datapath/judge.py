"""The kernel judge: the real programs, filled through a real commit, asked by BPF_PROG_TEST_RUN.

Of a compiled world it makes endpoints, ipcache and policy entries, runs the packet that would open the flow at the hook
where it would first be met, and reads the verdict and both rules from the event. A loaded object can be taken from one
world to the next: by an ordinary commit of what differs, so that every world but the first judges commits as well.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from ringfence.abi import Aggregation, Delivery, Direction, Reason, Verdict
from ringfence.datapath.commit import Committer
from ringfence.datapath.endpoints import EndpointTable
from ringfence.datapath.frames import opening_frame
from ringfence.datapath.loader import load
from ringfence.datapath.rings import EventRings
from ringfence.datapath.syscall import prog_test_run
from ringfence.engine.actual import Actual
from ringfence.engine.commands import Peer, WriteEndpoint
from ringfence.engine.numbers import REMEMBERED_RULES, RuleNumbers
from ringfence.errors import RingfenceError
from ringfence.identity.prefixes import Network
from ringfence.identity.reserved import Reserved
from ringfence.policy.evaluate import addresses
from ringfence.policy.lookup import Lookup
from ringfence.policy.test import CompiledWorld
from ringfence.policy.world import Actor
from ringfence.traffic import Traffic
from ringfence.verdict import UNJUDGED, Decision, Judgement, RuleText

#: Index of the loopback, the interface of every test run.
_INTERFACE: Final = 1
#: Linux' ephemeral ports: few policies speak of them.
_FIRST_PORT, _LAST_PORT = 32768, 60999
_CONNTRACK: Final = ("ct4", "ct6")


class JudgingKernel:
    """The loaded programs and what they hold. A context manager: it owns the object.

    Raises `Unavailable` where programs cannot be loaded.
    """

    def __init__(self, entries: int = 16384, peers: int = 4096) -> None:
        sizes = _sizes(entries, peers)
        self._numbers = RuleNumbers(sizes["rules"] - 1)
        self._actual = Actual(self._numbers)
        self._endpoints = 0
        self._port = _FIRST_PORT
        with ExitStack() as on_failure:
            self._loaded = on_failure.enter_context(load({}, sizes))
            self._ring = on_failure.enter_context(EventRings(self._loaded.rings))
            settings = self._loaded.maps[".data.events"].mmap_array()
            settings["event_aggregation"][0] = Aggregation.PACKETS
            settings["denials_per_second"][0] = 0
            self._table = EndpointTable(self._loaded.maps)
            self._committer = Committer(self._loaded.maps)
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

    def hold(self, compiled: CompiledWorld) -> None:
        """Hold this world and nothing else, by one commit. Raises `RingfenceError` when it does not fit."""
        entries = compiled.entries
        rows = {name: row for row, name in enumerate(compiled.identities, start=1)}
        for row in range(self._endpoints + 1, len(rows) + 1):
            self._table.write(WriteEndpoint(row, row, _INTERFACE, bytes(6), bytes(6)), Delivery.STACK)
        self._endpoints = max(self._endpoints, len(rows))

        def peer(network: Network) -> Peer | None:
            known = compiled.ipcache.get(network)
            return Peer(known.identity, known.prefix_class, rows[known.pod] if known.pod else 0) if known else None

        self._actual.doubt([*self._actual.entries, *entries], [*self._actual.peers, *compiled.ipcache])
        commit = self._actual.difference(entries.get, peer, lambda _: None)
        if commit:
            self._committer.commit(commit)
        self._actual.confirm(commit)
        self._numbers.forget()
        self._forget_flows()

    def run(self, program: str, source: Any, destination: Any, traffic: Traffic) -> Any:
        """The event of the packet that opens a flow between two addresses. Each flow has a source port of its own."""
        self._port = self._port + 1 if self._port < _LAST_PORT else _FIRST_PORT
        self._ring.read()
        prog_test_run(self._loaded.programs[program], opening_frame(source, destination, traffic, self._port))
        events = self._ring.read()
        if len(events) != 1:
            raise RingfenceError(f"the kernel told of {len(events)} verdicts on one packet")
        return events[0]

    def text(self, number: int) -> RuleText:
        """What a rule number of an event stands for."""
        text = self._numbers.text(number)
        if text is None:
            raise RingfenceError(f"the kernel names rule {number}, which no entry has")
        return text

    def _forget_flows(self) -> None:
        for name in _CONNTRACK:
            keys, _ = self._loaded.maps[name].dump()
            self._loaded.maps[name].delete_batch(keys)


class KernelJudge:
    """Judges packets of one world in the kernel: one of its own, or one that others use before and after.

    A context manager: it owns the kernel that it was not given.
    """

    name = "kernel"

    def __init__(self, compiled: CompiledWorld, kernel: JudgingKernel | None = None) -> None:
        self._compiled = compiled
        self._lookup = Lookup(compiled.state.map)
        with ExitStack() as on_failure:
            if kernel is None:
                size = len(compiled.entries), len(compiled.ipcache)
                kernel = on_failure.enter_context(JudgingKernel(*(max(256, 2 * each) for each in size)))
            self._kernel = kernel
            kernel.hold(compiled)
            self._resources = on_failure.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the loaded object back, if it is this judge's own."""
        self._resources.close()

    def judge(self, source: Actor, destination: Actor, traffic: Traffic) -> Judgement:
        """The verdict on the packet that opens a flow. Raises ValueError for ends of different families."""
        program = self._program(source, destination)
        if program is None:
            return UNJUDGED
        ends = addresses(source, destination, traffic)
        return self._judgement(self._kernel.run(program, *ends, traffic), ends, traffic)

    def _program(self, source: Actor, destination: Actor) -> str | None:
        """Where the packet that opens a flow is judged first, if anywhere."""
        if source.local or destination.local:
            return "from_endpoint" if source.local else "to_endpoint"
        hosts = [actor.reserved == Reserved.HOST for actor in (source, destination)]
        if all(hosts) or not any(hosts) or Reserved.HOST not in self._compiled.state.subjects:
            return None
        return "to_uplink" if hosts[0] else "from_uplink"

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
        rule = self._kernel.text(number)
        expected = self._lookup.decide(direction, subject, peer, traffic)
        tied = expected.tied if expected.rule == rule else (rule,)
        return Decision(rule.verdict, rule.reason, direction, rule, tied)


def _sizes(entries: int, peers: int) -> dict[str, int]:
    """Maps just large enough, so that a small world is loaded in milliseconds."""
    return {
        "policy": entries,
        "policy_records": entries,
        "record_hits": entries,
        "rules": entries + REMEMBERED_RULES,
        "ipcache": peers,
        "ipcache_exact": peers,
        "peer_records": peers,
        "endpoints": max(64, peers),
        "ct4": 256 * (os.cpu_count() or 1),
        "ct6": 256 * (os.cpu_count() or 1),
        "events": 65536,
    }
