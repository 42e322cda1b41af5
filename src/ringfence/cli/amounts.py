"""Amounts as options have them: sizes such as 512MiB, and lengths of time such as 60s or 7d."""

from __future__ import annotations

import re
from typing import Final

import click

_SIZE: Final = re.compile(r"(\d{1,15})([KMGT]i?B?|B)?", re.ASCII | re.IGNORECASE)
_AGE: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_POWERS: Final = "BKMGT"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_size(text: str) -> int:
    """`512MiB`, `2G` or a number of bytes; K, M, G and T are powers of 1024. Raises `BadParameter`."""
    read = _SIZE.fullmatch(text)
    if read is None:
        raise click.BadParameter(f"{text!r} is no size: write 512MiB, 2G or a number of bytes")
    return int(read[1]) << 10 * _POWERS.index((read[2] or "B")[0].upper())


def parse_seconds(text: str, what: str) -> int:
    """`7d`, `12h`, `30m`, `90s`. Raises `BadParameter` that says it is no `what`."""
    read = _AGE.fullmatch(text)
    if read is None:
        raise click.BadParameter(f"{text!r} is no {what}: write 7d, 12h, 30m or 90s")
    return int(read[1]) * _SECONDS[read[2]]
