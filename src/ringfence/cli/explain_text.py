"""An explanation as text for people: the verdict and its line first, then what nearly changed it, then how it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

Document = Mapping[str, Any]
COLOURS: Final = {"allow": "green", "deny": "red", "pass": "yellow"}
_WORDS: Final = {"allow": "ALLOWED", "deny": "DENIED"}


def lines(document: Document) -> Iterator[str]:
    """All of it, line by line."""
    yield from (click.style(f"note: {note}", fg="yellow") for note in document.get("notes", ()))
    verdict = click.style(_WORDS[document["verdict"]], fg=COLOURS[document["verdict"]], bold=True)
    yield f"{verdict}  {document['from']} -> {document['to']} {document['port']}"
    yield from _decided(document)
    if document["near_misses"]:
        yield from ("", "What nearly allowed it, the nearest first:")
        shown = {document["rule"]["origin"]}
        for number, miss in enumerate(document["near_misses"], 1):
            yield from _miss(number, miss, shown)
    for side in document["chain"]:
        yield ""
        yield from _side(side)


def _decided(document: Document) -> Iterator[str]:
    rule = document["rule"]
    if not document["chain"] and rule is not None:
        yield f"  {_rule(rule)}"
        yield f"    {rule['origin']}"
        return
    if rule is None:
        yield "  Neither end is a workload here: no policy is asked."
        return
    counting = [side for side in document["chain"] if side["counts"]]
    side = counting[-1] if document["verdict"] == "deny" else _side_of(counting, rule)
    yield f"  {side['direction']} of {side['subject']['name']}: {_rule(rule)}"
    yield from _extract(rule, "    ")


def _side_of(sides: list[Any], rule: Document) -> Any:
    return next(side for side in sides if side["rule"] == rule)


def _rule(rule: Document) -> str:
    """What a rule says of itself, and whose it is."""
    if not rule["policy"]:
        return str(rule["text"])
    kind, namespace, name = rule["policy"].split("/")
    return f"{rule['text']} ({kind} {f'{namespace}/' if namespace else ''}{name})"


def _by(rule: Document) -> str:
    return rule["origin"] or ("default: no policy isolates it" if not rule["policy"] else "what is built in")


def _extract(rule: Document, indent: str) -> Iterator[str]:
    for line in rule["lines"]:
        yield click.style(f"{indent}{line['line']:>5} | {line['text']}", dim=True)


def _miss(number: int, miss: Document, shown: set[str]) -> Iterator[str]:
    """A near miss; lines that were shown already are not repeated."""
    where = miss["rule"]["origin"] or "built in"
    yield f"  {number}. {click.style(miss['text'], bold=number == 1)}"
    yield f"     {miss['direction']}, {where}"
    if miss["rule"]["origin"] not in shown:
        yield from _extract(miss["rule"], "    ")
        shown.add(miss["rule"]["origin"])


def _side(side: Document) -> Iterator[str]:
    verdict = click.style(_WORDS[side["verdict"]].lower(), fg=COLOURS[side["verdict"]])
    aside = "" if side["counts"] else " (had it come so far)"
    yield f"{side['direction']} of {side['subject']['name']}: {verdict}{aside} by {_by(side['rule'])}"
    peer = "to" if side["direction"] == "egress" else "from"
    yield f"  who   {_end(side['subject'])}"
    yield f"  {peer:<5} {_end(side['peer'])}"
    policies = [_policy(each) for each in side["selected_by"]]
    yield f"  policies that select it: {', '.join(policies) or 'none, so everything may pass'}"
    for rule in side["matched"]:
        told = f"{rule['verdict']:<5} {rule['origin'] or 'built in'}"
        yield f"  matched: {told}, {rule['tier']} tier, precedence {rule['precedence']}"
    if len(side["allowed_by"]) > 1:
        places = ", ".join(rule["origin"] or "built in" for rule in side["allowed_by"])
        yield f"  each of these alone would allow it: {places}"


def _end(end: Document) -> str:
    identity = "" if end["identity"] is None else f" -> identity {end['identity']}"
    return f"{end['name']}: {end['address']} -> {end['prefix']}{identity} -> {' '.join(end['labels']) or 'no labels'}"


def _policy(found: Document) -> str:
    name = found["policy"].partition("/")[2].removeprefix("/")
    return f"{name}{' (isolates it)' if found['isolates'] else ''}"
