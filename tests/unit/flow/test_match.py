from __future__ import annotations

import pytest

from ringfence.flow.match import match_type


@pytest.mark.parametrize(
    ("expected", "shape"),
    [
        ("none", 0),
        ("L3-L4", 1),  # the whole port, of an identity
        ("L3-L4", 2),  # likewise, of a prefix class
        ("L4-Only", 3),  # likewise, of anybody
        ("L3-L4", 1 + 3 * 15),  # one bit of the port
        ("L3-Proto", 1 + 3 * 16),
        ("Proto-Only", 3 + 3 * 16),
        ("L3-Only", 1 + 3 * 17),
        ("all", 3 + 3 * 17),
    ],
)
def test_match_types_are_ciliums(expected: str, shape: int) -> None:
    """The shape of the key that decided says how closely it named peer and traffic."""
    assert expected == match_type(shape).text
