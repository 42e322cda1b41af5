"""A snapshot: all that one scrape tells, gathered from the engine in the loop and from the kernel in a thread.

What belongs to the loop is looked at in pieces, none of which takes more than a millisecond or so; whole maps are
read beside it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ringfence.abi import Direction
from ringfence.agent import views
from ringfence.agent.hub import Hub
from ringfence.agent.kernel import Count, EventCounts, Kernel
from ringfence.agent.metrics.commits import CommitWatch
from ringfence.agent.metrics.rule_traffic import Counters, RuleSums
from ringfence.agent.metrics.sparing import Sparing
from ringfence.agent.wiring import Wiring
from ringfence.api import flow_shapes
from ringfence.engine.engine import Engine
from ringfence.engine.numbers import LAST_ENDPOINT, LAST_RULE

RULES_TOLD = 500
#: Maps that the programs write, whose entries can only be counted by reading them.
COUNTED = ("ct4", "ct6", "fragments")
_SLICE = 32  # identities asked after in one go

Verdicts = Mapping[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class MapUse:
    """How full a map is: all entries, those still needed, and room. `age_seconds` is that of the count."""

    entries: int
    needed: int
    size: int
    age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the kernel was asked for in one go."""

    verdicts: Verdicts
    events: EventCounts
    hits: Counters
    counts: Mapping[str, tuple[Count, float]]
    programs_missing: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a scrape tells. `verdicts` are by (reason, direction)."""

    revision: int
    verdicts: Verdicts
    rules: list[RuleSums]
    rules_not_told: int
    events: EventCounts
    losses: flow_shapes.Losses
    maps: Mapping[str, MapUse]
    endpoints: Mapping[str, int]
    enforced: Mapping[str, int]
    programs_missing: int
    policies: Mapping[str, int]
    rules_in_force: int
    identities: int
    subscribers: int
    recording: flow_shapes.Recording


@dataclass(frozen=True, slots=True)
class Parts:
    """What is looked at. `losses` counts them by stage, given those of the ring."""

    engine: Engine
    kernel: Kernel
    wiring: Wiring
    hub: Hub
    losses: Callable[[int], flow_shapes.Losses]
    recording: Callable[[], flow_shapes.Recording]


class Photographer:
    """Takes snapshots, one at a time."""

    def __init__(self, parts: Parts, watch: CommitWatch) -> None:
        self._ = parts
        self._watch = watch
        self._counts = {name: Sparing(lambda name=name: parts.kernel.count(name)) for name in COUNTED}  # type: ignore[misc] # bound at once
        self._interfaces: list[int] = []
        self._missing = Sparing(self._programs_missing)
        self._isolated: dict[tuple[int, Direction], bool] = {}
        self._isolated_at = -1

    async def take(self) -> Snapshot:
        """Everything as it is now, or was a moment ago. Raises OSError when the kernel refuses to tell."""
        engine, traffic = self._.engine, self._watch.traffic
        changes = traffic.changes
        hooked = self._.wiring.attachments
        self._interfaces = [each.workload.ifindex for each in engine.endpoints if each.row in hooked]
        asked = await asyncio.to_thread(self._ask, traffic.end)
        for _ in traffic.settle(asked.hits, changes):
            await asyncio.sleep(0)
        rules, not_told = traffic.busiest(RULES_TOLD)
        return Snapshot(
            revision=self._.kernel.revision,
            verdicts=asked.verdicts,
            rules=rules,
            rules_not_told=not_told,
            events=asked.events,
            losses=self._.losses(asked.events["lost"]),
            maps=self._maps(asked.counts),
            endpoints=self._states(),
            enforced=await self._enforced(),
            programs_missing=asked.programs_missing,
            policies=Counter(policy.kind for policy in engine.state.policies),
            rules_in_force=engine.numbers.in_use,
            identities=sum(1 for _ in engine.state.selectors),
            subscribers=self._.hub.subscribers,
            recording=await asyncio.to_thread(self._.recording),
        )

    def _ask(self, end: int) -> Asked:
        kernel = self._.kernel
        return Asked(
            verdicts=kernel.metrics(),
            events=kernel.event_counts(),
            hits=kernel.hits_below(end),
            counts={name: count.get() for name, count in self._counts.items()},
            programs_missing=self._missing.get()[0],
        )

    def _programs_missing(self) -> int:
        hooks = (self._.kernel.hook(ifindex) for ifindex in self._interfaces)
        return sum(not hook.programs_ok for hook in hooks)

    def _maps(self, counts: Mapping[str, tuple[Count, float]]) -> dict[str, MapUse]:
        engine, sizes = self._.engine, self._.kernel.sizes()
        known = {name: (entries, sizes[name]) for name, entries in self._.kernel.written().items()}
        known |= {"rules": (engine.numbers.kept, LAST_RULE), "endpoints": (len(engine.endpoints), LAST_ENDPOINT)}
        uses = {name: MapUse(entries, entries, size) for name, (entries, size) in known.items()}
        return uses | {name: MapUse(*count, sizes[name], age) for name, (count, age) in counts.items()}

    def _states(self) -> dict[str, int]:
        attachments = self._.wiring.attachments
        found = Counter(views.endpoint_state(each, attachments.get(each.row)) for each in self._.engine.endpoints)
        return {state: found[state] for state in views.ENDPOINT_STATES}

    async def _enforced(self) -> dict[str, int]:
        """By identity, and looked up anew only at another revision."""
        if self._isolated_at != self._.kernel.revision:
            self._isolated_at = self._.kernel.revision
            self._isolated.clear()
        identities = Counter(endpoint.identity for endpoint in self._.engine.endpoints)
        found = dict.fromkeys(("ingress", "egress"), 0)
        for place, (identity, number) in enumerate(identities.items()):
            for direction in Direction:
                found[direction.name.lower()] += number * self._is_isolated(identity, direction)
            if place % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        return found

    def _is_isolated(self, identity: int, direction: Direction) -> bool:
        known = self._isolated.get((identity, direction))
        if known is None:
            known = self._isolated[identity, direction] = self._.engine.isolated(identity, direction)
        return known
