"""Maglev's tables: even, the same from any order, and little moved by one backend more or less."""

from __future__ import annotations

from collections import Counter

from ringfence.service.maglev import maglev

NAMES = [f"10.0.0.{n}:8080" for n in range(1, 11)]
SIZE = 2039


def owners(names: list[str]) -> list[str]:
    return [names[index] for index in maglev(names, SIZE)]


def test_every_backend_has_nearly_the_same_share() -> None:
    """No backend has over a hundredth more than another."""
    shares = Counter(owners(NAMES)).values()
    assert max(shares) - min(shares) <= SIZE // 100


def test_the_order_of_the_names_says_nothing() -> None:
    """Hosts that hear of backends in another order lead to the same ones."""
    assert owners(NAMES) == owners(NAMES[::-1])


def test_one_backend_less_moves_few_entries_of_the_others() -> None:
    """Nearly all entries of the backends that stay are where they were."""
    before, after = owners(NAMES), owners(NAMES[:-1])
    kept = [a == b for a, b in zip(before, after, strict=True) if a != NAMES[-1]]
    assert sum(kept) / len(kept) > 0.9


def test_without_backends_there_is_no_table() -> None:
    """A service without backends has an empty table."""
    assert maglev([], SIZE) == []
