"""Extracts: the lines of YAML that a rule is written in."""

from __future__ import annotations

from typing import NamedTuple

from ringfence.policy.rule import Policy

_MOST_LINES = 14
_LONGEST = 160


class Line(NamedTuple):
    """One line of a file, numbered from 1."""

    number: int
    text: str


def extract(policy: Policy | None, origin: str) -> tuple[Line, ...]:
    """The lines of the item that begins at an origin (file:line), none where the policy's text does not hold it."""
    number = int(origin.rpartition(":")[2]) if policy and origin else 0
    lines = policy.text.splitlines() if policy else []
    start = number - policy.text_line if policy else 0
    if not number or not 0 <= start < len(lines):
        return ()
    indent = _indent(lines[start])
    found = [lines[start]]
    for line in lines[start + 1 :]:
        if line.strip() and _indent(line) <= indent:
            break
        found.append(line)
    while not found[-1].strip():
        found.pop()
    kept = [Line(number + index, line[indent:][:_LONGEST]) for index, line in enumerate(found[:_MOST_LINES])]
    return (*kept, Line(number + _MOST_LINES, "...")) if len(found) > _MOST_LINES else tuple(kept)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
