"""The answer: a verdict with its rule, the chain of both directions, and the near misses; also as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.abi import Verdict
from ringfence.policy.explanation.ends import End
from ringfence.policy.explanation.extract import Line, extract
from ringfence.policy.explanation.misses import Miss
from ringfence.policy.explanation.side import Side
from ringfence.policy.rule import Policy, Rule
from ringfence.traffic import Traffic
from ringfence.verdict import Decision, Judgement, RuleText


@dataclass(frozen=True, slots=True)
class Seen:
    """A direction with its ends. `counts` is false where the other direction had denied before."""

    side: Side
    subject: End
    peer: End
    counts: bool

    @property
    def decision(self) -> Decision:
        return self.side.decision


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one packet is allowed or denied."""

    source: str
    destination: str
    traffic: Traffic
    judgement: Judgement
    chain: tuple[Seen, ...]
    near_misses: tuple[Miss, ...]
    policies: Mapping[str, Policy]

    @property
    def verdict(self) -> Verdict:
        return self.judgement.verdict

    @property
    def rule(self) -> RuleText | None:
        """What denied; of two that allowed, the one that a policy wrote, and the peer's before one's own."""
        judged = self.judgement.decisions
        if self.verdict == Verdict.DENY:
            return judged[-1].rule
        rules = [decision.rule for decision in reversed(judged)]
        return next((rule for rule in rules if rule.policy), rules[0] if rules else None)

    @property
    def decision(self) -> Decision | None:
        """The decision that the verdict is, None where nothing was judged."""
        return next((each for each in self.judgement.decisions if each.rule == self.rule), None)

    def lines(self, rule: RuleText) -> tuple[Line, ...]:
        """The lines of YAML that a rule is written in."""
        return extract(self.policies.get(rule.policy), rule.origin)

    def brief(self) -> list[str]:
        """A few lines: the decision of each direction, and under a denial the rules that nearly allowed."""
        told = []
        for decision in self.judgement.decisions:
            told.append(str(decision))
            near = [miss for miss in self.near_misses if miss.direction == decision.direction]
            told += [f"  {miss.rule.origin}: {miss.text}" for miss in near if decision.verdict == Verdict.DENY]
        return told or ["no workload takes part: nothing is judged"]

    def to_dict(self) -> dict[str, Any]:
        """The document of `-o json` and of the API."""
        rule = self.rule
        return {
            "from": self.source,
            "to": self.destination,
            "port": str(self.traffic),
            "verdict": self.verdict.name.lower(),
            "rule": self._rule(rule) if rule else None,
            "chain": [self._seen(seen) for seen in self.chain],
            "near_misses": [self._miss(miss) for miss in self.near_misses],
        }

    def _rule(self, rule: RuleText) -> dict[str, Any]:
        return {
            "policy": rule.policy,
            "text": rule.text,
            "origin": rule.origin,
            "lines": [{"line": number, "text": text} for number, text in self.lines(rule)],
        }

    def _miss(self, miss: Miss) -> dict[str, Any]:
        return {
            "text": miss.text,
            "rule": self._rule(miss.rule),
            "direction": miss.direction.name.lower(),
            "wrong": [fault.kind.value for fault in miss.faults],
        }

    def _seen(self, seen: Seen) -> dict[str, Any]:
        side, decision = seen.side, seen.decision
        return {
            "direction": side.name,
            "subject": seen.subject.to_dict(),
            "peer": seen.peer.to_dict(),
            "selected_by": [self._selecting(uid, isolates=isolates) for uid, isolates in selecting(side).items()],
            "matched": [_matched(rule) for rule in side.matching],
            "verdict": decision.verdict.name.lower(),
            "rule": self._rule(decision.rule),
            "allowed_by": [_matched(rule) for rule in side.allowing],
            "counts": seen.counts,
        }

    def _selecting(self, uid: str, *, isolates: bool) -> dict[str, Any]:
        policy = self.policies.get(uid)
        return {"policy": uid, "origin": str(policy.origin) if policy else "", "isolates": isolates}


def selecting(side: Side) -> dict[str, bool]:
    """The policies that select the subject, each with whether it isolates it."""
    found: dict[str, bool] = {}
    for rule in side.rules:
        found[rule.policy] = found.get(rule.policy, False) or rule.default_deny
    return found


def _matched(rule: Rule) -> dict[str, Any]:
    return {
        "policy": rule.policy,
        "origin": str(rule.origin),
        "tier": rule.tier.name.lower(),
        "precedence": rule.precedence,
        "verdict": rule.verdict.name.lower(),
    }
