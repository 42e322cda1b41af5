"""The chain of one flow: address, identity, labels, rule, file and line, with the lines of the policy themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from ringfence.tui.flowlist import FlowRow
from ringfence.tui.wording import address, count, rate, rule_text, size

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import DecidingRule, FlowShape, Party
    from ringfence.api.shapes import PolicyShape

_LABEL_WIDTH: Final = 9
_BEFORE, _AFTER = 3, 12


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; `mark` says how it is to stand out: allow, deny, rule or nothing."""

    text: str
    mark: str = ""


def chain(row: FlowRow, policy: PolicyShape | None, width: int) -> list[Line]:
    """All that is known of a flow, in lines of some width. `policy` is that of its deciding rule, if it has a text."""
    flow = row.flow
    told = [*_verdict(flow), *_ends(flow), *_rules(flow), *_counted(row)]
    lines = [line for label, text, mark in told for line in _folded(label, text, mark, width)]
    if flow["rule"] is not None and policy is not None:
        lines += [Line(""), *excerpt(policy, flow["rule"], width)]
    return lines


def _verdict(flow: FlowShape) -> Iterator[tuple[str, str, str]]:
    text = f"{flow['verdict'].upper()}: {flow['reason']}"
    decided = f"{text} at {flow['direction']}" if flow["verdict"] == "deny" else text
    time = flow["time"].partition("T")[2][:12]
    yield "verdict", f"{decided}, {time}, revision {flow['revision']}", flow["verdict"]


def _ends(flow: FlowShape) -> Iterator[tuple[str, str, str]]:
    for label, end in (("from", flow["source"]), ("to", flow["destination"])):
        yield label, _end(end), ""


def _end(end: Party) -> str:
    named = f" ({end['endpoint']})" if end["endpoint"] else ""
    labels = ", ".join(end["labels"]) or "no labels known"
    return f"{address(end)}{named} -> identity {end['identity']} -> {labels}"


def _rules(flow: FlowShape) -> Iterator[tuple[str, str, str]]:
    for direction in ("egress", "ingress"):
        rule = flow["rules"][direction]
        decided = flow["verdict"] == "deny" and flow["direction"] == direction
        match = f", match {flow['match']}" if rule is not None and rule == flow["rule"] else ""
        text = f"{rule_text(rule)}{match}" if rule is not None else "not judged"
        yield direction, text, "deny" if decided else ""


def _counted(row: FlowRow) -> Iterator[tuple[str, str, str]]:
    yield "verdicts", f"{count(row.verdicts)} since it was first seen, {rate(row.rate)} a second", ""
    totals = f"{count(row.packets)} packets, {size(row.bytes)} told by closes and denials"
    yield "packets", f"{totals}; {count(row.held_back)} held back", ""


def _folded(label: str, text: str, mark: str, width: int) -> Iterator[Line]:
    room = max(20, width - _LABEL_WIDTH)
    for number, part in enumerate(wrap(text, room, break_on_hyphens=False) or [""]):
        yield Line(f"{'' if number else label:<{_LABEL_WIDTH}}{part}", mark)


def excerpt(policy: PolicyShape, rule: DecidingRule, width: int) -> list[Line]:
    """The lines of a policy around the one that its rule begins in."""
    heading = f"{rule['policy']}, {rule['origin']}"
    line = rule["origin"].rpartition(":")[2]
    written = policy.get("text", "").splitlines()
    first = policy.get("text_line", 1)
    if not written or not line.isdigit():
        return [Line(heading[:width])]
    at = int(line) - first
    shown = range(max(0, at - _BEFORE), min(len(written), at + _AFTER))
    return [Line(heading[:width]), *(_written(written[n], first + n, width, marked=n == at) for n in shown)]


def _written(text: str, number: int, width: int, *, marked: bool) -> Line:
    return Line(f"{'>' if marked else ' '}{number:>5}  {text}"[:width], "rule" if marked else "")
