"""A request for flows: which ones, of which time, how many, and whether it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ringfence.errors import BadInput
from ringfence.flow.query import FlowQuery
from ringfence.flow.source import check_bounds
from ringfence.flow.when import parse_time


class Asked(TypedDict, total=False):
    """Bounds as people write them; what is missing or None bounds nothing."""

    since: str | None
    until: str | None
    last: int | None
    first: int | None


class Bounds(TypedDict):
    """The bounds that `FlowSource.past` takes."""

    since_ns: int | None
    until_ns: int | None
    last: int | None
    first: int | None


@dataclass(frozen=True, slots=True)
class FlowRequest:
    """Past flows within bounds, and with `follow` every later one."""

    wanted: FlowQuery
    bounds: Bounds
    follow: bool = False

    @classmethod
    def read(cls, wanted: FlowQuery, asked: Asked, now_ns: int, *, follow: bool = False) -> FlowRequest:
        """Raises `BadInput` for bounds that are none, or that exclude each other."""
        since, until = asked.get("since"), asked.get("until")
        bounds: Bounds = {
            "since_ns": None if since is None else parse_time(since, now_ns),
            "until_ns": None if until is None else parse_time(until, now_ns),
            "last": asked.get("last"),
            "first": asked.get("first"),
        }
        check_bounds(**bounds)
        if follow and (bounds["first"] is not None or bounds["until_ns"] is not None):
            raise BadInput("follow goes on without end: first and until exclude it")
        return cls(wanted, bounds, follow)

    @property
    def past(self) -> bool:
        """Whether any past flows are asked for: one that follows and says nothing of the past begins now."""
        return not self.follow or self.bounds["since_ns"] is not None or self.bounds["last"] is not None

    @property
    def most(self) -> int | None:
        """How many past flows it asks for; None if it leaves that open."""
        return self.bounds["first"] if self.bounds["last"] is None else self.bounds["last"]
