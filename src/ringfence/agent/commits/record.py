"""Records: what the commit log says of one commit, as a line of JSON, and the state that a row of lines adds up to.

Only what people and workloads decide is recorded: policies with their files, services, entries set by hand, labels of
namespaces, endpoints. Numbers of identities and rules follow from it and are the journal's alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ringfence.agent.journal import Item
from ringfence.agent.store import NAMESPACE, POLICY, SOURCE, Kept
from ringfence.engine import memory

#: Kinds of items that a state is made of.
KEPT: Final = frozenset({SOURCE, POLICY, NAMESPACE, memory.ENDPOINT, memory.SERVICE, memory.MANUAL})
_LAST: Final = Item("commit", "last")
#: What became of a thing: `same` was applied again as it was.
ADDED, CHANGED, REMOVED, SAME = "added", "changed", "removed", "same"


@dataclass(frozen=True, slots=True)
class Note:
    """Who made a change, what they did (`apply`, `delete`, ...), what became of which thing, and why."""

    by: str
    did: str
    changed: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One commit: the revision that it made active, when (seconds since the epoch), its notes, the items it wrote.

    An item with the value None was forgotten. Changes that came together are one commit with a note each.
    """

    revision: int
    time: float
    notes: tuple[Note, ...]
    items: Mapping[Item, object]

    def line(self) -> str:
        """As one line of JSON."""
        notes = [_note(each) for each in self.notes]
        items = [[*item, value] for item, value in self.items.items()]
        return _line({"revision": self.revision, "time": self.time, "notes": notes, "items": items})


class LastNote(NamedTuple):
    """When the last commit was made, and its notes: none if nobody answers for it."""

    time: float = 0
    notes: tuple[Note, ...] = ()


class State:
    """Items as they were at some time. It is read as a journal is."""

    def __init__(self, items: Mapping[Item, object] | None = None) -> None:
        self._values: dict[Item, object] = dict(items or {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._values == other._values

    __hash__ = None  # type: ignore[assignment] # it changes

    def take(self, items: Mapping[Item, object]) -> None:
        """A commit wrote these."""
        for item, value in items.items():
            if value is None:
                self._values.pop(item, None)
            else:
                self._values[item] = value

    def items(self, kind: str) -> Iterator[tuple[str, Any]]:
        """The values of one kind with their keys."""
        return ((item.key, value) for item, value in self._values.items() if item.kind == kind)

    def copy(self) -> State:
        """Another one that changes by itself."""
        return State(self._values)

    def differing(self, items: Mapping[Item, object]) -> dict[Item, object]:
        """Those items that are not so already."""
        return {item: value for item, value in items.items() if self._values.get(item) != value}

    def until(self, other: State) -> dict[Item, object]:
        """What a commit writes that makes of this state the other one."""
        written = {item: value for item, value in other._values.items() if self._values.get(item) != value}
        return written | dict.fromkeys((item for item in self._values if item not in other._values), None)

    def line(self) -> str:
        """As the first line of a segment."""
        return _line({"state": [[*item, value] for item, value in self._values.items()]})


def kept(items: Mapping[Item, object]) -> dict[Item, object]:
    """Those of a transaction's items that a state is made of."""
    return {item: value for item, value in items.items() if item.kind in KEPT}


def state_of(journal: Kept) -> State:
    """What a journal has of it."""
    return State({Item(kind, key): value for kind in sorted(KEPT) for key, value in journal.items(kind)})


def noted(notes: Iterable[Note], time: float) -> dict[Item, object]:
    """What the journal remembers of the last commit: should the log's own line be lost, it is written after this."""
    return {_LAST: [time, [_note(each) for each in notes]]}


def last_note(journal: Kept) -> LastNote:
    """What a journal remembers of the last commit."""
    items: dict[str, Any] = dict(journal.items(_LAST.kind))
    found = items.get(_LAST.key)
    return LastNote(found[0], tuple(Note(**each) for each in found[1])) if found else LastNote()


def recovered(last: LastNote, before: State, after: State, revision: int, now: float) -> Record:
    """The commit that led from the log's last line to what the journal has: its last, unless it knows of none."""
    if any(note.changed for note in last.notes):
        return Record(revision, last.time, last.notes, before.until(after))
    note = Note("ringfence", "start", changed_policies(before, after), "what an earlier agent had left")
    return Record(revision, now, (note,), before.until(after))


def changed_policies(before: State, after: State) -> dict[str, str]:
    """What became of policies and services between two states, as far as the states alone say it."""
    found: dict[str, str] = {}
    for kind in (POLICY, memory.SERVICE):
        old, new = dict(before.items(kind)), dict(after.items(kind))
        found |= {uid: CHANGED if uid in old else ADDED for uid, value in new.items() if old.get(uid) != value}
        found |= {uid: REMOVED for uid in old if uid not in new}
    return found


def read_line(text: str) -> State | Record:
    """A line read back. Raises ValueError, KeyError or TypeError for what is none."""
    found = json.loads(text)
    if "state" in found:
        return State(_items(found["state"]))
    notes = tuple(Note(**each) for each in found["notes"])
    return Record(found["revision"], found["time"], notes, _items(found["items"]))


def _note(note: Note) -> dict[str, object]:
    return {"by": note.by, "did": note.did, "why": note.why, "changed": dict(note.changed)}


def _items(found: Iterable[tuple[str, str, object]]) -> dict[Item, object]:
    return {Item(kind, key): value for kind, key, value in found}


def _line(document: object) -> str:
    return json.dumps(document, separators=(",", ":")) + "\n"
