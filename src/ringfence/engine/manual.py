"""Entries set by hand: at its key such an entry comes before every rule, until it is deleted by hand."""

from __future__ import annotations

from typing import Final

from ringfence.abi import Direction, PeerKind, Reason, Tier, Verdict
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.rule import ANYONE, Rule
from ringfence.selector import Selector
from ringfence.verdict import RuleText

ORIGIN: Final = "manual"


def manual_rule(key: PolicyKey, verdict: Verdict) -> RuleText:
    """What a manual entry stands for. Against other keys it weighs as the first rule of its tier that denies, whatever
    its own verdict: of equal weight the more exact key wins, so that nothing of the tier overrules an exact one.
    """
    like = Rule(ORIGIN, 0, Direction(key.direction), Verdict.DENY, Selector(), ANYONE, tier=Tier(key.tier))
    denies = verdict is Verdict.DENY
    return RuleText(
        policy=ORIGIN,
        index=0,
        direction=like.direction,
        tier=like.tier,
        verdict=verdict,
        precedence=like.precedence,
        reason=Reason.POLICY_DENY_RULE if denies else Reason.FORWARDED,
        origin=ORIGIN,
        text="denied by hand" if denies else "allowed by hand",
    )


def problem_of(key: PolicyKey) -> str | None:
    """What makes a key one that no packet can meet; None for a good one."""
    if not 0 <= key.prefix <= 24 or 0 < key.prefix < 8:
        return f"prefix {key.prefix}: it is 0 (any protocol), 8 (a protocol), or 8 and the bits of the port, up to 24"
    if key.prefix == 0 and (key.protocol or key.port):
        return "a protocol or port with prefix 0, which asks for neither"
    if key.prefix and key.port & ((1 << (24 - key.prefix)) - 1):
        return f"port {key.port} has bits beyond prefix {key.prefix}"
    if (key.peer_kind == PeerKind.ANY) != (key.peer == 0):
        return f"peer {key.peer} of kind {PeerKind(key.peer_kind).name.lower()}"
    return "no subject" if key.subject == 0 else None
