from __future__ import annotations

import pytest

from ringfence.abi import Direction, Reason, Tier, Verdict
from ringfence.engine.numbers import RoundRobin, RuleNumbers
from ringfence.errors import RingfenceError
from ringfence.verdict import RuleText


def rule(index: int) -> RuleText:
    """A rule that differs from others by its index alone."""
    kinds = Direction.INGRESS, Tier.NORMAL, Verdict.ALLOW
    return RuleText("policy", index, *kinds, 2, Reason.FORWARDED, "a.yaml:1", "allowed")


def test_numbers_come_round_last() -> None:
    """A number that was given back is given out again after all others."""
    numbers = RoundRobin(4, "things")
    assert [1, 2] == [numbers.take(), numbers.take()]
    numbers.free(1)
    assert [3, 4, 1] == [numbers.take(), numbers.take(), numbers.take()]


def test_numbers_run_out() -> None:
    """With all numbers in use the next is refused, and nothing is given twice."""
    numbers = RoundRobin(2, "things")
    numbers.take()
    numbers.take()
    with pytest.raises(RingfenceError, match="all 2 numbers for things are in use"):
        numbers.take()


def test_unused_rule_is_remembered() -> None:
    """A rule that no entry uses any more is still known by its number: an unread event may name it."""
    numbers = RuleNumbers()
    number = numbers.number(rule(1))
    numbers.use(number)
    numbers.release(number)
    assert [] == numbers.forget()
    assert rule(1) == numbers.text(number)
    assert number == numbers.number(rule(1))


def test_number_in_use_without_a_text_is_not_given_away() -> None:
    """A number that the kernel holds, but nobody remembers the meaning of, is not given to another rule."""
    numbers = RuleNumbers(last=3)
    numbers.use(1)
    assert 2 == numbers.number(rule(1))
