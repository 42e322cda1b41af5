"""What becomes of which thing by a change that is about to be made: what its note says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ringfence.abi import Verdict
from ringfence.agent.commits.record import ADDED, CHANGED, REMOVED, SAME
from ringfence.agent.dry import key_text
from ringfence.engine.engine import Engine
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.rule import Policy
from ringfence.policy.service_set import ServiceObject


def what_changes(engine: Engine, policies: Iterable[Policy], balanced: Iterable[ServiceObject]) -> dict[str, str]:
    """By uid, when these are applied. A policy is the same if its text is, wherever it stands now."""
    found = {}
    for policy in policies:
        there = engine.state.policies.get(policy.uid)
        found[policy.uid] = ADDED if there is None else SAME if there.text == policy.text else CHANGED
    for each in balanced:
        before = engine.services.get(each.uid)
        found[each.uid] = ADDED if before is None else SAME if before == each else CHANGED
    return found


def removed(uids: Iterable[str]) -> dict[str, str]:
    """By uid, when these are deleted."""
    return dict.fromkeys(uids, REMOVED)


def entries_changed(engine: Engine, put: Mapping[PolicyKey, Verdict], gone: Iterable[PolicyKey]) -> dict[str, str]:
    """By key in words, when entries are set and deleted by hand."""
    found = {f"entry {key_text(key)}": REMOVED for key in gone}
    for key, verdict in put.items():
        before = engine.manual.get(key)
        found[f"entry {key_text(key)}"] = ADDED if before is None else SAME if before == verdict else CHANGED
    return found
