"""The map state: every policy entry that the current rules and identities call for.

A key may be wanted by several rules; it keeps them all in order, the first of them is what the datapath sees, and
taking that one away brings the next. No entry hides another here: the datapath compares precedences among all that
match.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ringfence.policy.rule import BUILT_IN, Origin
from ringfence.verdict import RuleText


class PolicyKey(NamedTuple):
    """The fields of `struct policy_key` (bpf/abi.h), as plain numbers."""

    subject: int
    peer: int
    port: int
    protocol: int
    prefix: int
    peer_kind: int
    tier: int
    direction: int


class Claim:
    """A rule's wish for entries. Claims of one key are ordered: precedence first, then the rule written first."""

    __slots__ = ("alone", "order", "text")

    def __init__(self, text: RuleText, origin: Origin = BUILT_IN) -> None:
        self.text = text
        self.order = (-text.precedence, origin, text.policy, text.index)
        #: What nearly every key has; shared by all keys of a rule, so that an entry costs its key alone.
        self.alone: tuple[Claim] = (self,)

    def __lt__(self, other: Claim) -> bool:
        return self.order < other.order


class MapState:
    """Keys and the rules that want them, with what has changed since it was last asked."""

    def __init__(self) -> None:
        #: A claim that is alone shares its tuple with all keys of its rule; several have a list of their own.
        self._claims: dict[PolicyKey, tuple[Claim] | list[Claim]] = {}
        self._before: dict[PolicyKey, Claim | None] = {}

    def add(self, keys: Iterable[PolicyKey], claim: Claim) -> None:
        """Let a rule want these keys; wanting one twice is wanting it once."""
        claims, before, alone = self._claims, self._before, claim.alone
        for key in keys:
            present = claims.get(key)
            if present is None:
                before.setdefault(key, None)
                claims[key] = alone
            elif isinstance(present, list):
                place, there = _find(present, claim)
                if not there:
                    before.setdefault(key, present[0])
                    present.insert(place, claim)
            elif present is not alone:
                before.setdefault(key, present[0])
                claims[key] = sorted((present[0], claim))

    def remove(self, keys: Iterable[PolicyKey], claim: Claim) -> None:
        """Let a rule no longer want these keys; it need not have wanted all of them."""
        for key in keys:
            present = self._claims.get(key)
            if isinstance(present, list):
                place, there = _find(present, claim)
                if there:
                    self._before.setdefault(key, present[0])
                    del present[place]
                    if len(present) == 1:
                        self._claims[key] = present[0].alone
            elif present is claim.alone:
                self._before.setdefault(key, claim)
                del self._claims[key]

    def winner(self, key: PolicyKey) -> RuleText | None:
        """What the datapath's entry of this key names."""
        claims = self._claims.get(key)
        return claims[0].text if claims else None

    def wanted(self, key: PolicyKey) -> tuple[RuleText, ...]:
        """All rules that want this key, in order."""
        return tuple(claim.text for claim in self._claims.get(key, ()))

    def tied(self, key: PolicyKey) -> tuple[RuleText, ...]:
        """The rules that want this key and would decide as the winner does, the winner first."""
        wanted = self.wanted(key)
        return tuple(text for text in wanted if text.precedence == wanted[0].precedence)

    def items(self) -> Iterator[tuple[PolicyKey, RuleText]]:
        """Every entry with its winner."""
        return ((key, claims[0].text) for key, claims in self._claims.items())

    def take_changes(self) -> dict[PolicyKey, RuleText | None]:
        """The keys whose winner is another than at the last call, with it; None where there is no entry any more."""
        before, self._before = self._before, {}
        return {
            key: self.winner(key)
            for key, claim in before.items()
            if self.winner(key) != (claim.text if claim else None)
        }

    def __len__(self) -> int:
        return len(self._claims)


def _find(claims: list[Claim], claim: Claim) -> tuple[int, bool]:
    """Where a claim stands or would stand. The old and the new version of a rule may be equal in order for a while."""
    place = bisect_left(claims, claim)
    while place < len(claims) and not claim < claims[place]:
        if claims[place] is claim:
            return place, True
        place += 1
    return place, False
