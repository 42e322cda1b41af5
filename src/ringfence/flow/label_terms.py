"""Label selectors as Hubble's users write them: `app=web`, `k8s:app!=web`, `tier in (a,b)`, `!canary`; commas join.

A key without a source is of whatever source; a key alone asks for its presence (`reserved:world`).
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Final

from ringfence.errors import BadInput
from ringfence.selector import CIDR_SOURCE, Operator, Requirement, Selector, requirement_key

_SET: Final = re.compile(r"(?P<key>[^\s!=(),]+)\s+(?P<word>in|notin)\s*\(\s*(?P<values>[^()]*?)\s*\)\Z")
_PAIR: Final = re.compile(r"(?P<key>[^\s!=(),]+)\s*(?P<sign>==|=|!=)\s*(?P<value>[^\s!=(),]*)\Z")
_KEY: Final = re.compile(r"(?P<not>!?)\s*(?P<key>[^\s!=(),]+)\Z")
_COMMA: Final = re.compile(r",(?![^()]*\))")  # one that is not inside a pair of parentheses
_WORDS: Final = {"in": Operator.IN, "notin": Operator.NOT_IN}


def parse_selector(text: str) -> Selector:
    """Read a selector. Raises `BadInput` that says how one is written."""
    return Selector.of(_requirement(term.strip(), text) for term in _COMMA.split(text))


def _requirement(term: str, whole: str) -> Requirement:
    if found := _SET.match(term):
        values = [value.strip() for value in found["values"].split(",")]
        return _of(found["key"], _WORDS[found["word"]], values)
    if found := _PAIR.match(term):
        return _of(found["key"], Operator.NOT_IN if found["sign"] == "!=" else Operator.IN, [found["value"]])
    if found := _KEY.match(term):
        return _of(found["key"], Operator.DOES_NOT_EXIST if found["not"] else Operator.EXISTS, [])
    raise BadInput(
        f"{whole!r} selects no labels: write app=web, k8s:app!=web, 'tier in (a,b)', 'tier notin (a)', a key or !key"
    )


def _of(written: str, operator: Operator, values: list[str]) -> Requirement:
    source, key = requirement_key(written)
    if not source or not key:
        raise BadInput(f"{written!r} is no key of a label: a key is app or k8s:app")
    if source == CIDR_SOURCE:
        try:
            ip_network(key)
        except ValueError as error:
            raise BadInput(f"{written!r}: {error}") from error
    return Requirement(source, key, operator, frozenset(values))
