"""Times as people write them."""

from __future__ import annotations

import pytest

from ringfence.errors import BadInput
from ringfence.flow.when import parse_time

S = 1_000_000_000
NOW = 1_767_323_045 * S  # 2026-01-02T03:04:05Z


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (NOW - 3600 * S, "1h"),
        (NOW - 1800 * S, "30m"),
        (NOW - 2 * 86400 * S, "2d"),
        (NOW - 5400 * S, "1h30m"),
        (NOW - 1_500_000_000, "1s500ms"),
        (NOW, "0s"),
        (0, "999999d"),
        (NOW, "1767323045"),
        (NOW + 250_000_000, "1767323045.25"),
        (0, "0"),
        (S, "1"),
        (NOW, "2026-01-02T03:04:05Z"),
        (NOW, "2026-01-02T04:04:05+01:00"),
        (NOW + 123_456_000, "2026-01-02T03:04:05.123456Z"),
        (NOW, "2026-01-02 03:04:05"),
        (NOW - (3 * 3600 + 4 * 60 + 5) * S, "2026-01-02"),
    ],
)
def test_time(expected: int, text: str) -> None:
    """So long ago, a date and time (in UTC where no zone is said), or seconds since the epoch."""
    assert expected == parse_time(text, NOW)


@pytest.mark.parametrize(
    "text", ["", "h", "1w", "-1h", "1h ", "yesterday", "1e9", "2026-13-01", "1900-01-01", "9999999999999", "٣h", "1h30"]
)
def test_what_is_no_time_is_refused_with_what_is_expected(text: str) -> None:
    """The answer shows how a time is written."""
    with pytest.raises(BadInput, match="is no time: write 1h, 30m or 2d"):
        parse_time(text, NOW)
