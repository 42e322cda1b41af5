"""Queries: filters of which any may agree, and filters of which none may."""

from __future__ import annotations

import numpy as np
import pytest

from ringfence.errors import BadInput
from ringfence.flow.query import FlowQuery
from tests.unit.flow.batch import DENIED, Names, event

BATCH = np.concatenate([event(revision=1), event(revision=2, **DENIED), event(revision=3, protocol=17)])


@pytest.mark.parametrize(
    ("expected", "allow", "deny"),
    [
        ([1, 2, 3], [], []),
        ([2], ['{"verdict": ["DROPPED"]}'], []),
        ([2, 3], ['{"verdict": ["DROPPED"]}', '{"protocol": ["udp"]}'], []),
        ([3], [], ['{"protocol": ["tcp"]}']),
        ([1], ['{"port": ["8080"]}'], ['{"verdict": ["DROPPED"]}', '{"protocol": ["udp"]}']),
        ([], ["{}"], ["{}"]),
    ],
)
def test_query(expected: list[int], allow: list[str], deny: list[str]) -> None:
    """What any filter of the first list lets through and none of the second does."""
    assert expected == FlowQuery.parse(allow, deny).select(BATCH, Names())["revision"].tolist()


@pytest.mark.parametrize("text", ["", "drop", "[]", '"x"', '{"a": 1}', "{"])
def test_what_is_no_filter_is_refused(text: str) -> None:
    """A filter is a JSON object of fields that there are."""
    with pytest.raises(BadInput, match="filter"):
        FlowQuery.parse([], [text])
