from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringfence.abi import MAPS, Direction, PeerKind, Tier
from ringfence.datapath.shapes import LiveShapes, shape_of
from ringfence.policy.mapstate import PolicyKey

PREFIXES = [0, *range(8, 25)]


def key(
    prefix: int, kind: PeerKind = PeerKind.IDENTITY, tier: Tier = Tier.NORMAL, direction: Direction = Direction.INGRESS
) -> PolicyKey:
    return PolicyKey(300, 301, 0, 6, prefix, kind, tier, direction)


def fresh() -> NDArray[Any]:
    """Words as the object has them."""
    section = MAPS[".data.shapes"].value
    assert section is not None
    words: NDArray[Any] = np.zeros(1, section)["live_shapes"][0]
    return words


def live(words: NDArray[Any]) -> dict[tuple[int, int], set[int]]:
    """The shapes in each word that has any."""
    found = {place: {bit for bit in range(64) if int(word) >> bit & 1} for place, word in np.ndenumerate(words)}
    return {(place[0], place[1]): bits for place, bits in found.items() if bits}


def test_the_more_specific_shape_has_the_lower_number() -> None:
    """Longer port prefixes come first; of one length identity before prefix class before any peer."""
    order = [shape_of(key(prefix, kind)) for prefix in reversed(PREFIXES) for kind in sorted(PeerKind)]
    assert order == list(range(54))


def test_shapes_fit_in_a_word() -> None:
    """Each key has a shape of its own among those of a 64-bit word."""
    shapes = [shape_of(key(prefix, kind)) for prefix, kind in product(PREFIXES, PeerKind)]
    assert len(set(shapes)) == len(shapes)
    assert max(shapes) < 64


@pytest.mark.parametrize(("tier", "direction"), list(product(Tier, Direction)))
def test_each_tier_and_direction_has_its_own_word(tier: Tier, direction: Direction) -> None:
    """A key makes its shape live in the word of its tier and direction only."""
    words = fresh()
    entry = key(24, PeerKind.ANY, tier, direction)
    LiveShapes(words).widen([entry])
    assert live(words) == {(tier, direction): {shape_of(entry)}}


def test_words_are_widened_before_and_narrowed_after() -> None:
    """A shape is live from the moment its first key is to come until it is narrowed after the last has gone."""
    words = fresh()
    shapes = LiveShapes(words)
    first, second = key(24), PolicyKey(9, 9, 80, 17, 24, PeerKind.IDENTITY, Tier.NORMAL, Direction.INGRESS)
    shapes.widen([first, second])
    shapes.forget([first])
    shapes.narrow()
    assert live(words) == {(1, 1): {shape_of(first)}}
    shapes.forget([second])
    assert live(words) == {(1, 1): {shape_of(first)}}
    shapes.narrow()
    assert live(words) == {}


def test_taking_over_narrows_to_the_keys_that_are_there() -> None:
    """What a dead writer left wider is made exact by the keys that were found."""
    words = fresh()
    words[...] = 0xFF
    LiveShapes(words, [key(0), key(8)])
    assert live(words) == {(1, 1): {shape_of(key(0)), shape_of(key(8))}}


KEYS = st.builds(key, st.sampled_from(PREFIXES), st.sampled_from(PeerKind), st.sampled_from(Tier))


@given(st.lists(KEYS), st.lists(KEYS), st.data())
def test_words_follow_the_keys(before: list[PolicyKey], new: list[PolicyKey], data: st.DataObject) -> None:
    """Whatever keys come and go, after narrowing exactly the shapes of those that are left are live."""
    words = fresh()
    shapes = LiveShapes(words, before)
    shapes.widen(new)
    everything = before + new
    gone = data.draw(st.lists(st.sampled_from(range(len(everything))), unique=True)) if everything else []
    shapes.forget(everything[index] for index in gone)
    for entry in everything:
        assert shape_of(entry) in live(words)[entry.tier, entry.direction]
    shapes.narrow()
    left = [entry for index, entry in enumerate(everything) if index not in gone]
    expected: dict[tuple[int, int], set[int]] = {}
    for entry in left:
        expected.setdefault((entry.tier, entry.direction), set()).add(shape_of(entry))
    assert live(words) == expected
