"""Commits as they are shown: a list of them, and one with the text of what it changed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ringfence.agent.commits.log import CommitLog
from ringfence.agent.commits.record import ADDED, CHANGED, REMOVED, Note, Record, State
from ringfence.agent.store import NAMESPACE, PolicyFiles
from ringfence.api.commit_shapes import CommitDetail, CommitShape
from ringfence.engine import memory
from ringfence.flow.format import rfc3339
from ringfence.policy.rule import Policy

#: What a diff shows beside policies, as JSON: it was not written as text, or not kept as it was.
_OTHER_KINDS = (memory.SERVICE, NAMESPACE, memory.MANUAL)


def history(log: CommitLog, since: float, *, everything: bool) -> list[CommitShape]:
    """The commits from a time on (seconds since the epoch), the oldest first: those with a note, or all."""
    return [_shape(*each) for each in log.walk() if each[0].time >= since and (everything or each[0].notes)]


def detail(log: CommitLog, revision: int) -> CommitDetail:
    """The commit of a revision in full. Raises `NotFound`."""
    found = log.moment(lambda record: record.revision == revision, f"commit of revision {revision}")
    before, after = _policies(found.before), _policies(found.after)
    return {
        "commit": _shape(found.record, found.before),
        "diff": "".join([*_policy_diff(before, after), *_other_diff(found.before, found.after)]),
        "policies": [
            {"uid": each.uid, "origin": str(each.origin), "text": each.text} for _, each in sorted(after.items())
        ],
    }


def _shape(record: Record, before: State) -> CommitShape:
    notes = record.notes or (Note("ringfence", "endpoints", _endpoints(record, before)),)
    return {
        "revision": record.revision,
        "time": rfc3339(record.time),
        "notes": [{"by": each.by, "did": each.did, "changed": dict(each.changed), "why": each.why} for each in notes],
    }


def _endpoints(record: Record, before: State) -> dict[str, str]:
    """What became of endpoints, for a commit that nobody answers for."""
    old, found = dict(before.items(memory.ENDPOINT)), {}
    for item, value in record.items.items():
        if item.kind == memory.ENDPOINT:
            known: Any = value or old.get(item.key)
            found[f"endpoint {known['name']}"] = REMOVED if value is None else CHANGED if item.key in old else ADDED
    return found


def _policies(state: State) -> dict[str, Policy]:
    return {policy.uid: policy for policy in PolicyFiles().read(state)}


def _policy_diff(before: Mapping[str, Policy], after: Mapping[str, Policy]) -> Iterator[str]:
    for uid in sorted(before.keys() | after.keys()):
        texts = [before[uid].text if uid in before else "", after[uid].text if uid in after else ""]
        yield from _unified(uid, *texts)


def _other_diff(before: State, after: State) -> Iterator[str]:
    for kind in _OTHER_KINDS:
        old, new = dict(before.items(kind)), dict(after.items(kind))
        for key in sorted(old.keys() | new.keys()):
            texts = [_written(found[key]) if key in found else "" for found in (old, new)]
            yield from _unified(f"{kind} {key}", *texts)


def _written(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True)


def _unified(name: str, old: str, new: str) -> Iterator[str]:
    """A diff of two texts, one of which may be empty: a thing that was not there."""
    if old == new:
        return
    ends = f"a/{name}" if old else "/dev/null", f"b/{name}" if new else "/dev/null"
    before, after = ([f"{line}\n" for line in text.splitlines()] for text in (old, new))
    yield from difflib.unified_diff(before, after, *ends)
