"""Moments as people write them: how long ago, a date and time, or seconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from ringfence.errors import BadInput

_NS: Final = 1_000_000_000
_UNITS: Final = {"d": 86400 * _NS, "h": 3600 * _NS, "m": 60 * _NS, "s": _NS, "ms": 1_000_000}
_PART: Final = r"(\d{1,9})(d|h|ms|m|s)"
_AGO: Final = re.compile(rf"({_PART})+", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,11}(\.\d{1,9})?", re.ASCII)
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_LAST: Final = 1 << 63  # what 64 bits with a sign hold


def parse_time(text: str, now_ns: int) -> int:
    """Read `1h`, `30m`, `1h30m` (so long ago), RFC 3339 (`2026-01-02T03:04:05Z`; without a zone in UTC, without a time
    midnight) or seconds since the epoch. Gives ns since the epoch. Raises `BadInput` that says what is expected.
    """
    if _SECONDS.fullmatch(text):
        return _in_range(int(Decimal(text) * _NS), text)
    if _AGO.fullmatch(text):
        return max(0, now_ns - sum(int(number) * _UNITS[unit] for number, unit in re.findall(_PART, text)))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _no_time(text) from error
    since_epoch = moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH
    return _in_range((since_epoch.days * 86400 + since_epoch.seconds) * _NS + since_epoch.microseconds * 1000, text)


def _in_range(ns: int, text: str) -> int:
    if not 0 <= ns < _LAST:
        raise _no_time(text)
    return ns


def _no_time(text: str) -> BadInput:
    return BadInput(f"{text!r} is no time: write 1h, 30m or 2d (ago), 2026-01-02T03:04:05Z, or seconds since the epoch")
