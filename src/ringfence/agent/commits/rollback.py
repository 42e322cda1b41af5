"""The way back: what has to happen for policies, services, entries set by hand and labels of namespaces to be as they
were in a state of the commit log. Endpoints stay as they are: they say what runs, not what is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.abi import Verdict
from ringfence.agent.commits.record import ADDED, CHANGED, REMOVED, State
from ringfence.agent.journal import Item
from ringfence.agent.namespaces import Namespaces
from ringfence.agent.store import NAMESPACE, PolicyFiles
from ringfence.engine import memory
from ringfence.engine.engine import Engine
from ringfence.engine.events import (
    EntryDeleted,
    EntrySet,
    Event,
    PoliciesApplied,
    PoliciesDeleted,
    ServicesApplied,
    ServicesDeleted,
    Together,
)
from ringfence.policy.manifest import Namespace
from ringfence.policy.rule import Policy
from ringfence.service import stored


@dataclass(frozen=True, slots=True)
class WayBack:
    """One event that leads there, what to remember with it, and what becomes of which thing."""

    event: Together
    remember: Mapping[Item, object]
    changed: Mapping[str, str]
    namespaces: tuple[Namespace, ...]
    policies: tuple[Policy, ...]
    gone: tuple[str, ...]


def way_back(state: State, engine: Engine, files: PolicyFiles, namespaces: Namespaces) -> WayBack:
    """What leads from what is in force to a state. Nothing is changed by this."""
    events: list[Event] = []
    changed: dict[str, str] = {}
    policies, gone = _policies(state, engine, events, changed)
    _services(state, engine, events, changed)
    _entries(state, engine, events, changed)
    relabelled = namespaces.differing(dict(state.items(NAMESPACE)))
    events += namespaces.relabelled(relabelled, engine.endpoints)
    remember = files.brought_back(state) | namespaces.applied(relabelled)
    return WayBack(Together(tuple(events)), remember, changed, relabelled, policies, gone)


def _policies(
    state: State, engine: Engine, events: list[Event], changed: dict[str, str]
) -> tuple[tuple[Policy, ...], tuple[str, ...]]:
    """The policies to apply, and the uids of those to delete."""
    now = {policy.uid: policy for policy in engine.state.policies}
    then = {policy.uid: policy for policy in PolicyFiles().read(state)}
    applied = [policy for uid, policy in then.items() if now.get(uid) != policy]
    gone = [uid for uid in now if uid not in then]
    events += [PoliciesApplied(tuple(applied))] if applied else []
    events += [PoliciesDeleted(tuple(gone))] if gone else []
    _tell((policy.uid for policy in applied), gone, now, changed)
    return tuple(applied), tuple(gone)


def _services(state: State, engine: Engine, events: list[Event], changed: dict[str, str]) -> None:
    now = {each.uid: each for each in engine.services.objects}
    then = {uid: stored.read(fields) for uid, fields in state.items(memory.SERVICE)}
    applied = [each for uid, each in then.items() if now.get(uid) != each]
    gone = [uid for uid in now if uid not in then]
    events += [ServicesApplied(tuple(applied))] if applied else []
    events += [ServicesDeleted(tuple(gone))] if gone else []
    _tell((each.uid for each in applied), gone, now, changed)


def _entries(state: State, engine: Engine, events: list[Event], changed: dict[str, str]) -> None:
    then = {memory.read_key(key): Verdict(verdict) for key, verdict in state.items(memory.MANUAL)}
    entries: list[Event] = [
        EntrySet(key, verdict) for key, verdict in then.items() if engine.manual.get(key) != verdict
    ]
    entries += [EntryDeleted(key) for key in engine.manual if key not in then]
    if entries:
        events += entries
        changed["entries set by hand"] = CHANGED


def _tell(applied: Iterable[str], gone: Iterable[str], now: Mapping[str, Any], changed: dict[str, str]) -> None:
    changed |= {uid: CHANGED if uid in now else ADDED for uid in applied}
    changed |= dict.fromkeys(gone, REMOVED)
