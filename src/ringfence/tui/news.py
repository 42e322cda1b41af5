"""News: what feeds and flips tell the dashboard, each a plain value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.tui.byhand import Standing
from ringfence.tui.terms import Asked

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import DigestShape, FlowShape
    from ringfence.api.shapes import EndpointShape, EntryShape, PolicyShape, RuleShape, Status, SubjectShape


@dataclass(frozen=True, slots=True)
class Digested:
    """A digest of what was asked for."""

    asked: Asked
    digest: DigestShape


@dataclass(frozen=True, slots=True)
class Refused:
    """The agent knows no such filter; it is asked something else instead, what was asked before."""

    asked: Asked
    reason: str
    instead: Asked


@dataclass(frozen=True, slots=True)
class Gone:
    """The agent does not answer; it is asked again and again."""

    reason: str


@dataclass(frozen=True, slots=True)
class StatusCame:
    """The agent at a glance; `at` in seconds of a clock that only goes on."""

    at: float
    status: Status


@dataclass(frozen=True, slots=True)
class EndpointsCame:
    """The endpoints, and what the entries of their identities have counted."""

    at: float
    endpoints: list[EndpointShape]
    subjects: list[SubjectShape]


@dataclass(frozen=True, slots=True)
class RulesCame:
    """The rules in force with their hits."""

    at: float
    rules: list[RuleShape]


@dataclass(frozen=True, slots=True)
class ByHandCame:
    """All entries that are set by hand."""

    entries: list[EntryShape]


@dataclass(frozen=True, slots=True)
class PolicyCame:
    """A policy with its text; None for one that is gone, or never was."""

    uid: str
    policy: PolicyShape | None


@dataclass(frozen=True, slots=True)
class Made:
    """A change of entries by hand is active. `what` says it in words, `entries` were set; nothing: taken back."""

    what: str
    revision: int
    entries: Standing
    before: Standing


@dataclass(frozen=True, slots=True)
class Judged:
    """The first packet that a change was there for: `milliseconds` from the call to its verdict."""

    what: str
    revision: int
    milliseconds: float
    flow: FlowShape


@dataclass(frozen=True, slots=True)
class Failed:
    """A change by hand was refused, or could not be made; nothing is changed."""

    what: str
    reason: str


News = (
    Digested
    | Refused
    | Gone
    | StatusCame
    | EndpointsCame
    | RulesCame
    | ByHandCame
    | PolicyCame
    | Made
    | Judged
    | Failed
)
