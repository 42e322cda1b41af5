"""Disagreements: judgements that the staged policies make otherwise, one by one and in total."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ringfence.abi import Verdict
from ringfence.api.staged_shapes import Disagreement, DisagreementTotals, RuleShape
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names, flows
from ringfence.flow.flow import Flow, FlowRule
from ringfence.flow.format import to_dict
from ringfence.verdict import RuleText

#: Paths that are told apart; of more there is a number alone.
MOST_PATHS: Final = 4096
_PATH: Final = ("source_identity", "destination_identity", "protocol", "destination_port", "icmp_type", "verdict")
_RULES: Final = ("egress_rule", "ingress_rule")


@dataclass(slots=True)
class _Path:
    """What a path's disagreements come to: the first of them, how many, and when the last was."""

    first: Disagreement
    flows: int
    last: str


class Disagreements:
    """The totals since they were last cleared, by who asked whom for which port, and by the rules of both sides."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._paths: dict[tuple[int, ...], _Path] = {}
        self._others = 0

    def take(self, events: Events) -> None:
        """Count a batch of events of staged judgements."""
        for event, found in zip(events, disagreements(events, self._names), strict=True):
            key = tuple(int(event[name]) for name in (*_PATH, *_RULES))
            key += int(event["packets"][1]), int(event["bytes"][1])
            path = self._paths.get(key)
            if path:
                path.flows += found["flow"]["packets"]
                path.last = found["flow"]["time"]
            elif len(self._paths) < MOST_PATHS:
                self._paths[key] = _Path(found, found["flow"]["packets"], found["flow"]["time"])
            else:
                self._others += found["flow"]["packets"]

    def clear(self) -> None:
        """Begin anew."""
        self._paths.clear()
        self._others = 0

    def totals(self) -> DisagreementTotals:
        """The paths, those that disagreed most first."""
        paths = sorted(self._paths.values(), key=lambda path: -path.flows)
        return {
            "disagreements": [{**path.first, "flows": path.flows, "last": path.last} for path in paths],
            "others": self._others,
        }


def disagreements(events: Events, names: Names) -> Iterator[Disagreement]:
    """Events of staged judgements with what the policies in force said, and what the staged ones would say."""
    for event, flow in zip(events, flows(events, names), strict=True):
        held = replace(flow, packets=(flow.packets[0], 0), bytes=(flow.bytes[0], 0))
        now = Verdict.ALLOW if flow.verdict is Verdict.DENY else Verdict.DENY
        numbers = int(event["bytes"][1]), int(event["packets"][1])  # of ingress and egress, see struct event
        rules = [rule for number in numbers if number and (rule := names.rule_of(number))]
        yield {
            "flow": {**to_dict(held), "packets": flow.packets[0]},
            "would": flow.verdict.name.lower(),
            "staged_rule": _written(flow),
            "active_rule": _deciding(rules, now),
        }


def _written(flow: Flow) -> RuleShape | None:
    rule: FlowRule | None = flow.rule
    return {"policy": rule.policy, "text": rule.text, "origin": rule.origin} if rule else None


def _deciding(rules: list[RuleText], verdict: Verdict) -> RuleShape | None:
    """Of the rules of ingress and egress the one that denied; of two that allowed the one that a policy wrote."""
    decided = [rule for rule in rules if rule.verdict == verdict]
    best = next((rule for rule in decided if rule.policy), decided[0] if decided else None)
    return {"policy": best.policy, "text": best.text, "origin": best.origin} if best else None
