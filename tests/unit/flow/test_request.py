"""Requests for flows: what their bounds mean together."""

from __future__ import annotations

import pytest

from ringfence.errors import BadInput
from ringfence.flow.query import FlowQuery
from ringfence.flow.request import Asked, FlowRequest
from ringfence.flow.source import MOST_FLOWS

NOW = 1_000_000_000_000_000_000
HOUR = 3600 * 1_000_000_000


def read(asked: Asked, *, follow: bool = False) -> FlowRequest:
    return FlowRequest.read(FlowQuery(), asked, NOW, follow=follow)


def test_bounds_are_read() -> None:
    """Times become ns since the epoch; what is not said bounds nothing."""
    found = read({"since": "1h", "until": "999999999.5", "last": 3})
    expected = {"since_ns": NOW - HOUR, "until_ns": NOW - 500_000_000, "last": 3, "first": None}
    assert expected == found.bounds
    assert 3 == found.most
    assert None is read({}).most


@pytest.mark.parametrize(
    ("expected", "asked", "follow"),
    [
        (True, {}, False),
        (False, {}, True),
        (True, {"last": 5}, True),
        (True, {"since": "1h"}, True),
        (True, {"first": 5}, False),
    ],
)
def test_one_who_follows_sees_the_past_only_if_asked(expected: bool, asked: Asked, follow: bool) -> None:  # noqa: FBT001 - a table
    """Following alone begins now."""
    assert expected == read(asked, follow=follow).past


@pytest.mark.parametrize(
    ("expected", "asked", "follow"),
    [
        ("first and last exclude each other", {"first": 1, "last": 1}, False),
        (f"last {MOST_FLOWS + 1}: from 0 to {MOST_FLOWS} flows", {"last": MOST_FLOWS + 1}, False),
        ("first -1: from 0 to", {"first": -1}, False),
        ("until is not later than since", {"since": "1h", "until": "2h"}, False),
        ("until is not later than since", {"since": "1h", "until": "1h"}, False),
        ("'soon' is no time", {"until": "soon"}, False),
        ("follow goes on without end", {"first": 1}, True),
        ("follow goes on without end", {"until": "1h"}, True),
    ],
)
def test_bounds_that_make_no_sense_are_refused(expected: str, asked: Asked, follow: bool) -> None:  # noqa: FBT001 - a table
    """Each with a line that says why."""
    with pytest.raises(BadInput, match=expected):
        read(asked, follow=follow)
