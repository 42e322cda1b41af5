"""What each rule has decided: packets and bytes that only grow, over counters that come and go.

The kernel counts by record, which is a policy entry's: it starts at zero with the entry, is gone with it, and goes on
when another rule takes the entry over. Here each record's growth is added to the account of the rule that had it. A
commit settles the records that it takes from a rule, a fraction of a millisecond after it is active; all others are
settled when somebody asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import takewhile
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ringfence.verdict import RuleText

Counters = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

_REMEMBERED = 8192  # rules without entries: one that comes back goes on where it was
_TOLD_SECONDS = (
    900.0  # a rule without entries is told so long, that nobody who asks now and then misses its last packets
)
_SLICE = 4096  # records settled in one go, some 0.05 ms, and 0.3 ms where all have grown
_NOBODY, _PACKETS = 0, 0


class RuleLabels(NamedTuple):
    """What an account is known by."""

    policy: str
    origin: str
    direction: str
    verdict: str


class RuleSums(NamedTuple):
    """What a rule has decided since the agent started."""

    labels: RuleLabels
    packets: int
    bytes: int


class RuleTraffic:
    """Accounts by rule, and which record belongs to which. `text` says what a rule number stands for."""

    def __init__(self, text: Callable[[int], RuleText | None], clock: Callable[[], float] = monotonic) -> None:
        self._text = text
        self._clock = clock
        self._numbers: dict[RuleLabels, int] = {}
        self._labels: dict[int, RuleLabels] = {}
        self._free: list[int] = []
        self._sums = np.zeros((1, 2), np.uint64)  # by account; account 0 is nobody's
        self._entries = np.zeros(1, np.int64)
        self._gone: OrderedDict[int, float] = OrderedDict()  # accounts without entries, and since when
        self._owner = np.zeros(0, np.int64)  # by record
        self._seen = np.zeros((0, 2), np.uint64)
        self._taken_at = np.zeros(0, np.int64)
        #: How many times records have changed hands.
        self.changes = 0

    @property
    def end(self) -> int:
        """One more than the highest record that a rule ever had."""
        return len(self._owner)

    def give(self, records: Numbers, rules: Numbers, seen: Counters | None = None) -> None:
        """Records are rules' from now on, each the rule's of the number in its place; what was counted until now is not
        theirs. `seen` are the records' counters, in order; nothing was counted yet in records that are new.
        """
        self.changes += 1
        if not len(records):
            return
        self._grow(int(records.max()) + 1)
        numbers, place = np.unique(rules, return_inverse=True)
        accounts = [self._account(number) for number in numbers.tolist()]
        self._owner[records] = owners = np.array(accounts, np.int64)[place]
        np.add.at(self._entries, owners, 1)
        self._seen[records] = 0 if seen is None else _pairs(seen)
        self._taken_at[records] = self.changes
        for account in accounts:
            self._gone.pop(account, None)

    def take(self, records: Numbers, counted: Counters) -> None:
        """Records are not their rules' any more; `counted` are their counters, in order."""
        self.changes += 1
        # An entry that could not be deleted when it had become empty is nobody's.
        owned = np.flatnonzero(records < self.end)
        owned = owned[self._owner[records[owned]] != _NOBODY]
        if not len(owned):
            return
        rows = records[owned]
        self._add(rows, _pairs(counted[owned]))
        owners = self._owner[rows]
        np.subtract.at(self._entries, owners, 1)
        self._owner[rows] = _NOBODY
        self._taken_at[rows] = self.changes
        now = self._clock()
        for account in set(owners[self._entries[owners] == 0].tolist()):
            self._gone[account] = now
        self._forget()

    def settle(self, counted: Counters, changes: int) -> Iterator[None]:
        """Add what records have grown by. `counted` are the counters of the first records, read when records had
        changed hands `changes` times: those that have done so since are left alone. To be iterated to the end; between
        two steps others may have their turn.
        """
        pairs = _pairs(counted)
        for start in range(0, len(pairs), _SLICE):
            part = slice(start, min(start + _SLICE, len(pairs)))
            grown = pairs[part, _PACKETS] > self._seen[part, _PACKETS]
            grown &= (self._owner[part] != _NOBODY) & (self._taken_at[part] <= changes)
            rows = start + np.flatnonzero(grown)
            self._add(rows, pairs[rows])
            yield

    def busiest(self, most: int) -> tuple[list[RuleSums], int]:
        """The rules with the most packets, and how many more there are."""
        told = np.concatenate([np.flatnonzero(self._entries > 0), self._lately_gone()])
        left_out = max(0, len(told) - most)
        if left_out:
            told = told[np.argpartition(self._sums[told, _PACKETS], left_out)[left_out:]]
        order = told[np.argsort(self._sums[told, _PACKETS])[::-1]]
        return [self._sum(account) for account in order.tolist()], left_out

    def _lately_gone(self) -> Numbers:
        """The last to go are the last in order."""
        oldest = self._clock() - _TOLD_SECONDS
        recent = takewhile(lambda gone: gone[1] > oldest, reversed(self._gone.items()))
        return np.array([account for account, _ in recent], np.int64)

    def _sum(self, account: int) -> RuleSums:
        return RuleSums(self._labels[account], *self._sums[account].tolist())

    def _add(self, rows: Numbers, counted: npt.NDArray[np.uint64]) -> None:
        before = self._seen[rows]
        # A counter that was read before another look is no news; nor does one ever shrink while a rule has it.
        grown = np.where(counted > before, counted - before, 0)
        np.add.at(self._sums, self._owner[rows], grown)
        self._seen[rows] = before + grown

    def _account(self, number: int) -> int:
        labels = _labels(self._text(number))
        known = self._numbers.get(labels)
        if known is not None:
            return known
        account = self._free.pop() if self._free else len(self._numbers) + 1
        if account >= len(self._sums):
            more = len(self._sums)
            self._sums = np.concatenate([self._sums, np.zeros((more, 2), np.uint64)])
            self._entries = np.concatenate([self._entries, np.zeros(more, np.int64)])
        self._numbers[labels] = account
        self._labels[account] = labels
        return account

    def _forget(self) -> None:
        while len(self._gone) > _REMEMBERED:
            account, _ = self._gone.popitem(last=False)
            del self._numbers[self._labels.pop(account)]
            self._sums[account] = 0
            self._free.append(account)

    def _grow(self, end: int) -> None:
        more = end - len(self._owner)
        if more > 0:
            more = max(more, len(self._owner) // 4)
            self._owner = np.concatenate([self._owner, np.zeros(more, np.int64)])
            self._seen = np.concatenate([self._seen, np.zeros((more, 2), np.uint64)])
            self._taken_at = np.concatenate([self._taken_at, np.zeros(more, np.int64)])


def _pairs(counters: Counters) -> npt.NDArray[np.uint64]:
    """Rows of (packets, bytes)."""
    return np.ascontiguousarray(counters).view(np.uint64).reshape(-1, 2)


def _labels(rule: RuleText | None) -> RuleLabels:
    """The built-in rules have no policy and no file; an empty label would be none."""
    if rule is None:
        return RuleLabels("unknown", "unknown", "unknown", "unknown")
    direction, verdict = rule.direction.name.lower(), rule.verdict.name.lower()
    return RuleLabels(rule.policy or "default", rule.origin or "built-in", direction, verdict)
