"""Faults: the single things by which a rule misses a packet, how near each is, and what would set it right.

The cost of a fault is the distance that near misses are ranked by: how likely it is that whoever wrote the rule made
this very mistake. A slip of the pen (another case, a letter) costs least; a rule that matched and was outranked little
more, for everything in it is right; then another port or protocol, another namespace, a missing label; then a rule that
nobody wrote; and most, what looks as if it was meant for somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Final, Literal

from ringfence.labels import Label
from ringfence.policy.findings import distance
from ringfence.traffic import Traffic


class Kind(Enum):
    """What a fault is about, as programs see it."""

    LABEL = "label"
    NAMESPACE = "namespace"
    WHO = "who"
    ADDRESS = "address"
    PORT = "port"
    PROTOCOL = "protocol"
    PORT_NAME = "port-name"
    OUTRANKED = "outranked"
    TYPES = "policy-types"
    NO_RULE = "no-rule"
    REPLY = "reply"
    REVERSED = "reversed"


class Cost(IntEnum):
    """How far a fault is from no fault."""

    SLIP = 1
    TYPES = 2
    OUTRANKED = 3
    NEAR = 4
    KEY = 5
    WORKLOAD_ADDRESS = 5
    PLACE = 6
    REPLY = 6
    MISSING = 7
    WHO = 8
    REVERSED = 9
    PORT = 10
    NO_RULE = 12
    ADDRESS = 14
    UNLIKE = 16
    NOTHING_INTENDED = 18
    FOR_OTHERS = 20


@dataclass(frozen=True, slots=True)
class Fix:
    """The question asked otherwise so that the rule speaks of it: a label put, some dropped, or other traffic."""

    end: Literal["subject", "peer", "traffic"]
    put: Label | None = None
    drop: tuple[Label, ...] = ()
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, in words. `fix` is None where the question cannot be asked so that it is right."""

    kind: Kind
    cost: int
    text: str
    fix: Fix | None = None


#: What is wrong between a rule and a packet; nothing, if the rule speaks of it.
Faults = tuple[Fault, ...]
_LEAST_TYPO_LENGTH: Final = 3


def weight(faults: Faults) -> tuple[int, int]:
    """What faults are ranked by: first how many, then how far."""
    return len(faults), sum(fault.cost for fault in faults)


@lru_cache(maxsize=65536)
def alike(one: str, other: str) -> bool:
    """Whether one text may be the other, badly written: another case, a few letters, or cut short."""
    first, second = sorted((one.lower(), other.lower()), key=len)
    if first == second:
        return True
    if len(first) >= _LEAST_TYPO_LENGTH and (second.startswith(first) or second.endswith(first)):
        return True
    allowed = max(1, len(second) // 4) if len(first) >= _LEAST_TYPO_LENGTH else 0
    return len(second) - len(first) <= allowed and distance(first, second) <= allowed
