"""Numbers that come round late: what was given back is given out again only after all others.

An event that nobody has read yet, a connection that nobody has forgotten, may still name a number; so the longer it
stays unused the better.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from ringfence.errors import RingfenceError
from ringfence.verdict import RuleText

LAST_RULE = (1 << 20) - 1  # rows of the `rules` array but row 0, which means "nothing here"
LAST_ENDPOINT = 4095  # rows of the `endpoints` array but row 0, which is nobody
REMEMBERED_RULES = 8192


class RoundRobin:
    """Numbers from 1 to `last`, each taken after the one taken before, skipping those in use."""

    def __init__(self, last: int, of_what: str) -> None:
        self._last = last
        self._of_what = of_what
        self._taken: set[int] = set()
        self._next = 1

    @property
    def taken(self) -> int:
        """How many are in use."""
        return len(self._taken)

    def take(self) -> int:
        """The next free number. Raises `RingfenceError` when there is none."""
        if len(self._taken) >= self._last:
            raise RingfenceError(f"all {self._last} numbers for {self._of_what} are in use")
        number = self._next
        while number in self._taken:
            number = number % self._last + 1
        self.claim(number)
        return number

    def claim(self, number: int) -> None:
        """Take a number that is known to be in use."""
        if number not in self._taken:
            self._taken.add(number)
            self._next = number % self._last + 1

    def free(self, number: int) -> None:
        """Give a number back."""
        self._taken.discard(number)


class RuleNumbers:
    """Which number stands for which rule. A rule keeps its number while an entry uses it and, unless it comes round,
    gets it back afterwards; what a number stood for is remembered for the events that still name it.
    """

    def __init__(self, last: int = LAST_RULE) -> None:
        self._free = RoundRobin(last, "rules")
        self._number_of: dict[RuleText, int] = {}
        self._text_of: dict[int, RuleText] = {}
        self._uses: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    def text(self, number: int) -> RuleText | None:
        """What a number stands for, or stood for last."""
        return self._text_of.get(number)

    @property
    def in_use(self) -> int:
        """How many numbers entries use."""
        return len(self._uses)

    @property
    def kept(self) -> int:
        """How many numbers are not free: those in use, and those remembered for late events."""
        return self._free.taken

    def uses(self, number: int) -> int:
        """How many entries use a number."""
        return self._uses.get(number, 0)

    def number(self, rule: RuleText) -> int:
        """The number of a rule, a new one if it has none."""
        known = self._number_of.get(rule)
        if known is None:
            known = self._free.take()
            self._remember(known, rule)
        return known

    def use(self, number: int) -> None:
        """One more entry uses a number; it may be one that an earlier run gave out and told nobody of."""
        self._free.claim(number)
        self._uses[number] = self._uses.get(number, 0) + 1
        self._idle.pop(number, None)

    def release(self, number: int) -> None:
        """One entry fewer uses a number."""
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._uses[number]
            self._idle[number] = None

    def restore(self, known: Mapping[int, RuleText]) -> None:
        """Take over what an earlier run gave out, in the order it did."""
        for number, rule in known.items():
            self._free.claim(number)
            self._remember(number, rule)

    def forget(self) -> list[int]:
        """Let go of numbers unused the longest, beyond those remembered for late events; returns them."""
        excess = [number for number, _ in zip(self._idle, range(len(self._idle) - REMEMBERED_RULES), strict=False)]
        for number in excess:
            del self._idle[number]
            self._free.free(number)
            text = self._text_of.pop(number, None)
            if text is not None:
                del self._number_of[text]
        return excess

    def _remember(self, number: int, rule: RuleText) -> None:
        self._number_of[rule] = number
        self._text_of[number] = rule
        self._idle[number] = None
