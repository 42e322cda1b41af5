"""Verdicts: what was decided about a packet, by which rule, and why.

There is no verdict without a rule: the defaults are rules too, with a text of their own. A judgement is the decision of
both directions, the sender's egress and the receiver's ingress; a direction that nobody here judges has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ringfence.abi import Direction, Reason, Tier, Verdict


def reason_text(reason: Reason) -> str:
    """A reason in words: `policy denied`."""
    return reason.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class RuleText:
    """What a rule number stands for: all that the datapath and people need of a rule.

    `policy` is the uid (kind/namespace/name) and `index` the rule's place in it; both name the isolating rule for a
    default deny; the default allow has the policy "". `precedence` compares within a tier, higher wins, 0 for the
    defaults. `reason` is why a packet is dropped by it. `origin` is file:line, "" for what is built in.
    """

    policy: str
    index: int
    direction: Direction
    tier: Tier
    verdict: Verdict
    precedence: int
    reason: Reason
    origin: str
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One direction's verdict. `tied` are all rules that would decide the same by the same entry, `rule` first."""

    verdict: Verdict
    reason: Reason
    direction: Direction
    rule: RuleText
    tied: tuple[RuleText, ...] = ()

    def __str__(self) -> str:
        side = "egress" if self.direction == Direction.EGRESS else "ingress"
        return f"{side} {self.verdict.name.lower()}: {self.rule.text}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a packet. Ingress is not judged when egress denies."""

    verdict: Verdict
    egress: Decision | None = None
    ingress: Decision | None = None

    @property
    def allowed(self) -> bool:
        return self.verdict == Verdict.ALLOW

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return tuple(decision for decision in (self.egress, self.ingress) if decision)

    def __str__(self) -> str:
        told = "; ".join(map(str, self.decisions)) or "no workload of this host takes part"
        return f"{self.verdict.name.lower()} ({told})"


UNJUDGED: Final = Judgement(Verdict.ALLOW)
