"""Which key shapes have entries: the datapath probes no others.

Shape i of bpf/policy.h: peer kind i % 3 and prefix length 24 - i // 3, the last three prefix length 0. The word of a
tier and direction is widened before a revision is activated and narrowed after, so that it is wide enough for every
revision that may still be judged by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from ringfence.policy.mapstate import PolicyKey

PEER_KINDS = 3
FULL_PREFIX = 24
LAST_RANK = 17
_WORDS = 4
_STAGED_WORDS = 2


def place_of(key: PolicyKey) -> tuple[int, int, int]:
    """Its tier, the word of its direction, and its shape. Staged policies have the other two of four words."""
    return key.tier, (key.direction + _STAGED_WORDS * key.staged) % _WORDS, shape_of(key)


def shape_of(key: PolicyKey) -> int:
    """The number of a key's shape; the lower, the more specific."""
    rank = LAST_RANK if key.prefix == 0 else FULL_PREFIX - key.prefix
    return rank * PEER_KINDS + key.peer_kind


class LiveShapes:
    """Counts keys by shape and keeps the mapped words [tier][direction] in step."""

    def __init__(self, words: NDArray[Any], keys: Iterable[PolicyKey] = ()) -> None:
        self._words = words
        self._counts = Counter(map(place_of, keys))
        self.narrow()

    def widen(self, keys: Iterable[PolicyKey]) -> None:
        """Have these keys' shapes probed, before they are there."""
        for key in keys:
            place = place_of(key)
            self._counts[place] += 1
            if self._counts[place] == 1:
                self._words[place[:2]] = int(self._words[place[:2]]) | 1 << place[2]

    def forget(self, keys: Iterable[PolicyKey]) -> None:
        """Count these keys as gone; `narrow` then takes the shapes of none from the words."""
        for key in keys:
            self._counts[place_of(key)] -= 1

    def narrow(self) -> None:
        """Have only shapes probed that have keys."""
        live = [[0] * self._words.shape[1] for _ in range(self._words.shape[0])]
        self._counts = +self._counts
        for tier, direction, shape in self._counts:
            live[tier][direction] |= 1 << shape
        for tier, row in enumerate(live):
            for direction, word in enumerate(row):
                if int(self._words[tier, direction]) != word:
                    self._words[tier, direction] = word
