"""The filter line: `from:app=front to:shop/backend port:8080/TCP verdict:drop -rule:web.yaml`, as the agent reads it.

A term is the name of a field of `FlowFilter` and a value. Several of one name are alternatives, all names must agree;
one with a minus takes away what it means. What values there are, the agent knows: it refuses what it does not.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Final

from ringfence.errors import BadInput

_VERDICTS: Final = dict.fromkeys(("allow", "allowed", "forwarded"), "allow") | dict.fromkeys(
    ("deny", "denied", "drop", "dropped"), "drop"
)
EXAMPLE: Final = "from:app=front to:shop/backend port:8080/TCP verdict:drop -rule:web.yaml"


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter line and what it means: filters as JSON texts, for `Client.digests`."""

    line: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


NOTHING_ASKED: Final = Asked()


def parse_line(line: str) -> Asked:
    """Read a filter line. Raises `BadInput` for a word that is no term."""
    wanted: dict[str, list[str]] = {}
    unwanted: list[str] = []
    for word in _words(line):
        name, value = _term(word.removeprefix("-"))
        if word.startswith("-"):
            unwanted.append(json.dumps({name: [value]}))
        else:
            wanted.setdefault(name, []).append(value)
    allow = (json.dumps(wanted),) if wanted else ()
    return Asked(line.strip(), allow, tuple(unwanted))


def _words(line: str) -> list[str]:
    """The words of a line; quotes keep blanks in one: `from:"app in (a, b)"`."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise BadInput(f"a quote is not closed in {line!r}") from error


def _term(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if not (name and colon and value):
        raise BadInput(f"{word!r} is no term: write such as {EXAMPLE}")
    name = name.lower().replace("-", "_")
    if name == "verdict" and value.lower() in _VERDICTS:
        return "type", _VERDICTS[value.lower()]
    return name, value
