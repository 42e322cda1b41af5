"""The map state: every policy entry that the current rules and identities call for.

A key may be wanted by several rules; they are all kept in order, the first of them is what the datapath sees, and
taking that one away brings the next. Rules that want exactly the same keys are one claim, so that a thousand rules of
one shape cost the keys of one. No entry hides another here: the datapath compares precedences among all that match.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Final, NamedTuple

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
    staged: int = 0


class Wish:
    """One rule's part in a claim. Wishes are ordered: precedence first, then the rule written first."""

    __slots__ = ("order", "text")

    def __init__(self, text: RuleText, origin: Origin = BUILT_IN) -> None:
        self.text = text
        self.order = (-text.precedence, origin, text.policy, text.index)

    def __lt__(self, other: Wish) -> bool:
        return self.order < other.order


class Claim:
    """The wishes of rules that want the same keys with the same precedence. The first speaks for all of them."""

    __slots__ = ("alone", "text", "wishes")

    def __init__(self, wish: Wish) -> None:
        self.wishes = [wish]
        self.text = wish.text
        #: What nearly every key has; shared by all keys of a claim, so that an entry costs its key alone.
        self.alone: tuple[Claim] = (self,)

    def goes_first(self, wish: Wish) -> bool:
        """Whether a wish speaks, or would speak, for the claim."""
        return wish is self.wishes[0] or wish < self.wishes[0]

    def add(self, wish: Wish) -> None:
        insort(self.wishes, wish)
        self.text = self.wishes[0].text

    def remove(self, wish: Wish) -> None:
        """The old and the new version of a rule may be equal in order for a while."""
        place = bisect_left(self.wishes, wish)
        while self.wishes[place] is not wish:
            place += 1
        del self.wishes[place]
        self.text = self.wishes[0].text

    def __lt__(self, other: Claim) -> bool:
        return self.wishes[0].order < other.wishes[0].order


_NOTHING: Final[tuple[Claim, ...]] = ()
_NO_WINNER: Final[repeat[None]] = repeat(None)


class MapState:
    """Keys and the claims on them, with what has changed since it was last asked."""

    def __init__(self) -> None:
        #: A claim that is alone shares its tuple with all of its keys; several have a list of their own.
        self._claims: dict[PolicyKey, tuple[Claim] | list[Claim]] = {}
        self._before: dict[PolicyKey, RuleText | None] = {}

    def add(self, keys: Iterable[PolicyKey], claim: Claim) -> None:
        """Lay a claim to keys; doing so twice is doing it once."""
        wanted = list(keys)
        claims, before, alone = self._claims, self._before, claim.alone
        if claims.keys().isdisjoint(wanted):
            fresh = wanted if before.keys().isdisjoint(wanted) else [key for key in wanted if key not in before]
            claims.update(zip(wanted, repeat(alone), strict=False))
            before.update(zip(fresh, _NO_WINNER, strict=False))
            return
        for key in wanted:
            present = claims.get(key)
            if present is None:
                before.setdefault(key, None)
                claims[key] = alone
            elif isinstance(present, list):
                place, there = _find(present, claim)
                if not there:
                    before.setdefault(key, present[0].text)
                    present.insert(place, claim)
            elif present is not alone:
                before.setdefault(key, present[0].text)
                claims[key] = sorted((present[0], claim))

    def remove(self, keys: Iterable[PolicyKey], claim: Claim) -> None:
        """Give up a claim to keys; it need not have been laid to all of them."""
        for key in keys:
            present = self._claims.get(key)
            if isinstance(present, list):
                place, there = _find(present, claim)
                if there:
                    self._before.setdefault(key, present[0].text)
                    del present[place]
                    if len(present) == 1:
                        self._claims[key] = present[0].alone
            elif present is claim.alone:
                self._before.setdefault(key, claim.text)
                del self._claims[key]

    def change_first(self, keys: Iterable[PolicyKey], claim: Claim, change: Callable[[], None]) -> None:
        """Let another wish speak for a claim; `keys` are all that it is laid to."""
        shared = []
        for key in dict.fromkeys(keys):
            present = self._claims[key]
            self._before.setdefault(key, present[0].text)
            if isinstance(present, list):
                del present[_find(present, claim)[0]]
                shared.append(present)
        change()
        for several in shared:
            insort(several, claim)

    def winner(self, key: PolicyKey) -> RuleText | None:
        """What the datapath's entry of this key names."""
        claims = self._claims.get(key)
        return claims[0].text if claims else None

    def wanted(self, key: PolicyKey) -> tuple[RuleText, ...]:
        """All rules that want this key, in order."""
        wishes = [wish for claim in self._claims.get(key, _NOTHING) for wish in claim.wishes]
        return tuple(wish.text for wish in sorted(wishes))

    def tied(self, key: PolicyKey) -> tuple[RuleText, ...]:
        """The rules that want this key and would decide as the winner does, the winner first."""
        wanted = self.wanted(key)
        return tuple(text for text in wanted if text.precedence == wanted[0].precedence)

    def items(self) -> Iterator[tuple[PolicyKey, RuleText]]:
        """Every entry with its winner."""
        return ((key, claims[0].text) for key, claims in self._claims.items())

    def take_changes(self) -> dict[PolicyKey, RuleText | None]:
        """The keys whose winner is another than at the last call, with it; None where there is no entry any more."""
        before, self._before, claims = self._before, {}, self._claims
        changes: dict[PolicyKey, RuleText | None] = {}
        for key, old in before.items():
            present = claims.get(key)
            new = present[0].text if present else None
            if new is not old and (old is None or new != old):
                changes[key] = new
        return changes

    def __len__(self) -> int:
        return len(self._claims)


def _find(claims: list[Claim], claim: Claim) -> tuple[int, bool]:
    """Where a claim stands or would stand. Two may be equal in order while a rule's old and new version are there."""
    place = bisect_left(claims, claim)
    while place < len(claims) and not claim < claims[place]:
        if claims[place] is claim:
            return place, True
        place += 1
    return place, False
