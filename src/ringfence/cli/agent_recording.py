"""The options of `ringfence agent` that say what it records, where, and how much of it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ringfence.history.limits import Limits

Command = TypeVar("Command", bound=Callable[..., Any])
LEAST_BYTES: Final = 16 << 20
LEAST_SECONDS: Final = 60
_SIZE: Final = re.compile(r"(\d{1,15})([KMGT]i?B?|B)?", re.ASCII | re.IGNORECASE)
_AGE: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_POWERS: Final = "BKMGT"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _size(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int:
    """`512MiB`, `2G` or a number of bytes; K, M, G and T are powers of 1024."""
    read = _SIZE.fullmatch(text)
    if read is None:
        raise click.BadParameter(f"{text!r} is no size: write 512MiB, 2G or a number of bytes")
    size = int(read[1]) << 10 * _POWERS.index((read[2] or "B")[0].upper())
    if size < LEAST_BYTES:
        raise click.BadParameter(f"{text!r} is less than 16 MiB, which a history takes at least")
    return size


def _age(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int:
    """`7d`, `12h`, `30m`, `90s`."""
    read = _AGE.fullmatch(text)
    if read is None:
        raise click.BadParameter(f"{text!r} is no age: write 7d, 12h or 30m")
    seconds = int(read[1]) * _SECONDS[read[2]]
    if seconds < LEAST_SECONDS:
        raise click.BadParameter(f"{text!r} is less than a minute")
    return seconds


def recording_options(command: Command) -> Command:
    """Add `--flows-dir`, `--flows-max-age`, `--flows-max-size` and `--no-flows`."""
    for option in (
        click.option("--no-flows", is_flag=True, help="Keep no history of flows on the disk."),
        click.option(
            "--flows-max-size",
            callback=_size,
            metavar="SIZE",
            default="1GiB",
            show_default=True,
            help="How much of it is kept: beyond that the oldest goes.",
        ),
        click.option(
            "--flows-max-age",
            callback=_age,
            metavar="AGE",
            default="7d",
            show_default=True,
            help="How long flows are kept at most.",
        ),
        click.option(
            "--flows-dir",
            type=click.Path(file_okay=False, path_type=Path),
            help="Where the history of flows is kept.  [default: /var/lib/ringfence/INSTANCE/flows]",
        ),
    ):
        command = option(command)
    return command


def recording_limits(options: dict[str, Any]) -> tuple[bool, Limits]:
    """Take out of the options whether to record, and within what."""
    limits = Limits(max_age_seconds=options.pop("flows_max_age"), max_bytes=options.pop("flows_max_size"))
    return not options.pop("no_flows"), limits
