"""What the API says of staged policies."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from ringfence.api.shapes import SourceShape


class StageRequest(TypedDict):
    """Files to stage in the place of whatever is staged. `gone`: policies that would be gone; `only`: all others."""

    sources: list[SourceShape]
    gone: NotRequired[list[str]]
    only: NotRequired[bool]


class StagedPolicy(TypedDict):
    """A policy that is judged without effect. `change`: added, changed or removed by promoting; shadow if it is applied
    as such.
    """

    uid: str
    change: str
    origin: str


class RuleShape(TypedDict):
    """A rule by the policy that wrote it, in words, and where it stands."""

    policy: str
    text: str
    origin: str


class Disagreement(TypedDict):
    """A flow that the staged policies judge otherwise. `flow` is as in the stream of events, `packets` how many it
    stands for; `would` what the staged policies say.
    """

    flow: dict[str, Any]
    would: str
    staged_rule: RuleShape | None
    active_rule: RuleShape | None


class PathShape(Disagreement):
    """Disagreements that have ends, port and rules in common: the first, how many judgements, and when the last was."""

    flows: int
    last: str


class DisagreementTotals(TypedDict):
    """Where staged policies disagreed; `others` are judgements of paths beyond those that are told apart."""

    disagreements: list[PathShape]
    others: int


class StagedShape(DisagreementTotals):
    """What is staged, since when (RFC 3339, None where only shadow policies are), and what came of it."""

    since: str | None
    policies: list[StagedPolicy]
