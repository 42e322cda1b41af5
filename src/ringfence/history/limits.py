"""Limits: how much a history keeps, and how much of it a kill may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_SECONDS: Final = 24 * 3600
_LEAST_SEGMENTS: Final = 8  # of a full history: deleting the oldest is not to take a great part of it at once


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_bytes` bounds all segments together. `queue_events` may wait to be written; what comes beyond is lost.

    A segment is sealed after so many rows or seconds. Events are on the disk after `flush_seconds`; when that fails,
    it is tried again every `retry_seconds`. Recording stops while less than `spare_bytes`, or a twentieth of the
    filesystem if that is less, would be left to others.
    """

    max_age_seconds: float = 7 * DAY_SECONDS
    max_bytes: int = 1 << 30
    queue_events: int = 1_000_000
    segment_rows: int = 1_000_000
    segment_seconds: float = 600.0
    flush_seconds: float = 0.5
    retry_seconds: float = 3.0
    spare_bytes: int = 64 << 20

    def rows(self, row_bytes: int) -> int:
        """After how many rows of so many bytes a segment is sealed."""
        return max(1, min(self.segment_rows, self.max_bytes // _LEAST_SEGMENTS // row_bytes))
