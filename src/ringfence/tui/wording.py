"""Wording: how ends, rules and numbers are written where a column has room for few letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ringfence.engine.manual import ORIGIN as BY_HAND
from ringfence.labels import NAMESPACE_KEY

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import DecidingRule, FlowShape, Party
    from ringfence.api.shapes import EntryShape

_NAMESPACE: Final = f"k8s:{NAMESPACE_KEY}="
_SOURCES: Final = ("k8s:", "reserved:")


def end_name(end: Party) -> str:
    """Name one end: its endpoint, else its own labels without those that all of a namespace have, else its address."""
    return end["endpoint"] or label_names(end["labels"]) or end["address"]


def label_names(labels: list[str]) -> str:
    """Labels without the namespace's and without the sources that go without saying."""
    own = [label for label in labels if not label.startswith(_NAMESPACE)]
    for source in _SOURCES:
        own = [label.removeprefix(source) for label in own]
    return ",".join(own)


def address(end: Party) -> str:
    """Address and port of an end."""
    text = f"[{end['address']}]" if ":" in end["address"] and end["port"] else end["address"]
    return f"{text}:{end['port']}" if end["port"] else text


def place(origin: str) -> str:
    """A place in a file without the directories on the way there: `web.yaml:12`."""
    return origin.rpartition("/")[2]


def rule_text(rule: DecidingRule | None) -> str:
    """Say a rule in full, with where it was written."""
    if rule is None:
        return "no rule was asked"
    # A text usually names the place already ("isolated by web.yaml:12").
    said = not rule["origin"] or rule["policy"] == BY_HAND or rule["origin"] in rule["text"]
    return rule["text"] if said else f"{rule['text']} ({rule['origin']})"


def rule_brief(flow: FlowShape) -> str:
    """Say the deciding rule in one column: where it stands, or why there was none."""
    rule = flow["rule"]
    if rule is None:
        return flow["reason"]
    return "by hand" if rule["policy"] == BY_HAND else place(rule["origin"]) or "default"


def entry_text(entry: EntryShape) -> str:
    """An entry set by hand: `deny ingress of app=backend from app=frontend, 8080/TCP`."""
    subject = label_names(entry["subject_labels"]) or str(entry["subject"])
    peer = label_names(entry["peer_labels"]) or str(entry["peer"])
    others = {"any": "anyone", "prefix_class": f"prefix class {entry['peer']}"}
    other = others.get(entry["peer_kind"], peer)
    way = "from" if entry["direction"] == "ingress" else "to"
    return f"{entry['action']} {entry['direction']} of {subject} {way} {other}, {entry['traffic']}"


def count(number: float) -> str:
    """A whole number with its thousands apart: `98,412`."""
    return f"{number:,.0f}"


def rate(number: float) -> str:
    """A number a second: `0.4`, `12.5`, `98,412`."""
    return count(number) if number >= 100 or number == 0 else f"{number:.1f}"


def size(number: float) -> str:
    """Bytes in the largest unit that leaves a digit before the point: `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{count(number)} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"
