"""Staging: policies that are judged by the kernel beside those in force, and where the two disagree.

What is staged is remembered as the files were written: a restart stages the same, and promoting applies the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from time import time
from typing import Any

from ringfence.agent.commits.changed import what_changes
from ringfence.agent.commits.control import Commits
from ringfence.agent.commits.record import REMOVED, SAME
from ringfence.agent.disagreements import Disagreements, disagreements
from ringfence.agent.hub import Hub, Subscriber, json_line
from ringfence.agent.journal import Item, Journal
from ringfence.agent.node_policies import NodePolicies
from ringfence.agent.store import PolicyFiles
from ringfence.api.shapes import Applied, Guard
from ringfence.api.staged_shapes import StagedPolicy, StagedShape, StageRequest
from ringfence.engine.engine import Engine
from ringfence.engine.events import Event, PoliciesApplied, PoliciesDeleted, PoliciesStaged, Together
from ringfence.errors import BadInput, NotFound
from ringfence.flow.filter import FlowFilter
from ringfence.flow.format import rfc3339
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Policy
from ringfence.policy.state import Overlay

_SET = Item("staged", "set")


@dataclass(frozen=True, slots=True)
class StagedSet:
    """Files as they were written, policies that would be gone, and when they were staged (seconds since the epoch)."""

    sources: tuple[Source, ...]
    gone: tuple[str, ...]
    since: float

    @property
    def policies(self) -> tuple[Policy, ...]:
        """What the files say."""
        return parse_documents(self.sources, strict=False).policies

    @property
    def overlay(self) -> Overlay:
        """What is judged: by uid, None for what would be gone."""
        return {**dict.fromkeys(self.gone), **{policy.uid: policy for policy in self.policies}}

    def stored(self) -> dict[str, object]:
        """As the journal remembers it."""
        return {"sources": [list(source) for source in self.sources], "gone": list(self.gone), "since": self.since}


def staged_of(journal: Journal) -> StagedSet | None:
    """What an earlier agent had staged."""
    items: dict[str, Any] = dict(journal.items(_SET.kind))
    found = items.get(_SET.key)
    if found is None:
        return None
    sources = tuple(Source(*source) for source in found["sources"])
    return StagedSet(sources, tuple(found["gone"]), found["since"])


class Staging:
    """What is staged, and what came of it since. `hub` has the events of staged judgements and no others."""

    def __init__(self, engine: Engine, commits: Commits, files: PolicyFiles, node: NodePolicies, hub: Hub) -> None:
        self._engine = engine
        self._commits = commits
        self._files = files
        self._node = node
        self._hub = hub
        self._set: StagedSet | None = None
        self._found = Disagreements(hub.names)
        hub.feed(self._found.take)

    def resume(self, staged: StagedSet | None) -> None:
        """Go on with what an earlier agent had staged; the engine has it already."""
        self._set = staged

    async def stage(self, request: StageRequest) -> Applied:
        """Stage files in the place of whatever was staged. Raises `BadInput` with every problem, and `NotFound`."""
        sources = tuple(Source(source["name"], source["text"]) for source in request["sources"])
        parsed = await asyncio.to_thread(parse_documents, sources)
        if parsed.services or parsed.slices:
            raise BadInput("services cannot be staged: apply them, or leave their documents out")
        gone = [self._engine.state.policies.find(uid).uid for uid in request.get("gone", [])]
        if request.get("only"):
            gone = [policy.uid for policy in self._engine.state.policies]
        applied = {policy.uid for policy in parsed.policies}
        wanted = StagedSet(sources, tuple(uid for uid in dict.fromkeys(gone) if uid not in applied), time())
        return await self._change(PoliciesStaged(wanted.overlay), "stage", wanted, self._changed(wanted))

    async def promote(self, request: Guard) -> Applied:
        """Bring exactly what is staged into force, in one commit. Raises `NotFound` if nothing is, and `BadInput` where
        that would cut a connection that it must not.
        """
        staged = self._staged()
        policies = staged.policies
        gone = [uid for uid in staged.gone if uid in self._engine.state.policies]
        self._node.guard(request, policies, gone)
        events: list[Event] = [PoliciesApplied(policies)]
        events += [PoliciesDeleted(tuple(gone))] if gone else []
        event = Together((*events, PoliciesStaged(None)))
        remember = self._files.moved(staged.sources, policies, gone)
        return await self._change(event, "promote", None, self._changed(staged), remember)

    async def unstage(self) -> Applied:
        """Drop what is staged. Raises `NotFound` if nothing is."""
        changed = self._changed(self._staged())
        return await self._change(PoliciesStaged(None), "unstage", None, dict.fromkeys(changed, REMOVED))

    def shape(self) -> StagedShape:
        """What is staged, and where it disagreed since."""
        staged = self._set
        policies: list[StagedPolicy] = []
        if staged:
            origins = {policy.uid: str(policy.origin) for policy in staged.policies}
            changed = self._changed(staged).items()
            policies = [{"uid": uid, "change": what, "origin": origins.get(uid, "")} for uid, what in changed]
        shadow = [policy for policy in self._engine.state.policies if policy.shadow]
        policies += [{"uid": each.uid, "change": "shadow", "origin": str(each.origin)} for each in shadow]
        since = rfc3339(staged.since) if staged else None
        return {"since": since, "policies": policies, **self._found.totals()}

    def follow(self) -> AsyncIterator[bytes]:
        """Disagreements as they come, a line of JSON each; `{"lost": N}` where so many were."""
        return self._lines(self._hub.subscribe(FlowFilter.parse(None, [], [], None)))

    async def _lines(self, subscriber: Subscriber) -> AsyncIterator[bytes]:
        async for events in subscriber.batches():
            if isinstance(events, int):
                yield json_line({"lost": events})
            else:
                yield b"".join(json_line(each) for each in disagreements(events, self._hub.names))

    async def _change(
        self,
        event: Event,
        did: str,
        wanted: StagedSet | None,
        changed: dict[str, str],
        remember: dict[Item, object] | None = None,
    ) -> Applied:
        whole = {**(remember or {}), _SET: wanted.stored() if wanted else None}
        applied = await self._commits.change(event, did, changed, whole)
        self._set = wanted
        self._found.clear()
        return applied

    def _staged(self) -> StagedSet:
        if self._set is None:
            raise NotFound("nothing is staged: `ringfence policy stage FILE` stages policies")
        return self._set

    def _changed(self, staged: StagedSet) -> dict[str, str]:
        """What would become of which policy; what would stay the same is left out."""
        found = what_changes(self._engine, staged.policies, ())
        found |= {uid: REMOVED for uid in staged.gone if uid in self._engine.state.policies}
        return _differing(found.items())


def _differing(changed: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {uid: what for uid, what in changed if what != SAME}
