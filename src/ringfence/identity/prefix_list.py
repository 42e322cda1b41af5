"""Lists of prefixes as people write them: one a line, `#` begins a comment, an address alone is itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network

from ringfence.errors import BadInput, Problem
from ringfence.identity.prefixes import Network

_MOST_TOLD = 20


def read_prefixes(name: str, text: str, *, everything: bool = False) -> list[Network]:
    """The prefixes of a file, each once, in order. Raises `BadInput` with the line of each that is none, and of those
    that are every address of their family unless `everything` is meant.
    """
    problems: list[Problem] = []
    found = dict.fromkeys(_parsed(name, enumerate(text.splitlines(), 1), problems, everything=everything))
    if problems:
        rest = len(problems) - _MOST_TOLD
        if rest > 0:
            last = problems[_MOST_TOLD]
            problems[_MOST_TOLD:] = [Problem(name, last.line, 1, f"{rest} more lines like these", "prefixes")]
        raise BadInput(problems)
    return list(found)


def _parsed(
    name: str, lines: Iterable[tuple[int, str]], problems: list[Problem], *, everything: bool
) -> Iterator[Network]:
    for number, line in lines:
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            network = ip_network(text)
        except ValueError:
            problems.append(Problem(name, number, 1, repr(text), _wanted(text)))
            continue
        if not network.prefixlen and not everything:
            told = f"{text}, which is every address of its family"
            problems.append(Problem(name, number, 1, told, "a longer prefix, or --everything to mean it"))
            continue
        yield network


def _wanted(text: str) -> str:
    """What stands there most likely, where only bits behind the prefix are too many."""
    try:
        return f"{ip_network(text, strict=False)} or a single address"
    except ValueError:
        return "a prefix such as 192.0.2.0/24 or 2001:db8::/32, or an address"
