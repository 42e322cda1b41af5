"""Documents about the prefilter: its uplinks, its list, and what a change of it came to."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class UplinkShape(TypedDict):
    """An interface by which the host is reached. `mode`: native or generic XDP, None with a `problem`; `mechanism`: tcx
    or clsact, likewise. `seen_by`: the addresses that endpoints have in the world; none where they keep their own.
    """

    name: str
    ifindex: int
    mode: str | None
    mechanism: str | None
    seen_by: list[str]
    problem: str | None


class PrefilterShape(TypedDict):
    """The prefilter as a whole; `packets` and `bytes` are what the list in force has dropped."""

    prefixes: int
    packets: int
    bytes: int
    uplinks: list[UplinkShape]


class ListedPrefix(TypedDict):
    """A prefix, and what it has dropped since it was written."""

    prefix: str
    packets: int
    bytes: int


class PrefixesRequest(TypedDict):
    """Prefixes to add or delete. `everything`: a prefix of length 0 is meant."""

    prefixes: list[str]
    everything: NotRequired[bool]


class PrefixFile(TypedDict):
    """A list that replaces the one in force: the text of a file, one prefix a line, and its name for messages."""

    name: str
    text: str
    everything: NotRequired[bool]


class PrefixesChanged(TypedDict):
    """How many prefixes came or went, and how many were there, or not there, already."""

    changed: int
    unchanged: int
