"""What the API says of commits."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from ringfence.api.shapes import Guard


class NoteShape(TypedDict):
    """Who did what to which things, and why. `changed`: thing -> added, changed, removed or same (applied again)."""

    by: str
    did: str
    changed: dict[str, str]
    why: str


class CommitShape(TypedDict):
    """A commit: the revision that it made active, and when (RFC 3339). Changes that came together have a note each."""

    revision: int
    time: str
    notes: list[NoteShape]


class PolicyText(TypedDict):
    """A policy as it was written, and where."""

    uid: str
    origin: str
    text: str


class CommitDetail(TypedDict):
    """A commit in full: what it changed as a unified diff, and the policies that were in force after it."""

    commit: CommitShape
    diff: str
    policies: list[PolicyText]


class RollbackRequest(Guard):
    """How to go back. `confirm_seconds`: it goes back itself, after so long, unless it is confirmed."""

    confirm_seconds: NotRequired[float]
