"""The options of `ringfence agent` that say what it records, where, and how much of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ringfence.cli.amounts import parse_seconds, parse_size
from ringfence.history.limits import Limits

Command = TypeVar("Command", bound=Callable[..., Any])
LEAST_BYTES: Final = 16 << 20
LEAST_SECONDS: Final = 60
LEAST_COMMIT_BYTES: Final = 1 << 20


def _at_least(size: int, told: str) -> Callable[[click.Context, click.Parameter, str], int]:
    """Reads a size that must not be smaller, which `told` is in words."""

    def read(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int:
        found = parse_size(text)
        if found < size:
            raise click.BadParameter(f"{text!r} is less than {told}")
        return found

    return read


def _age(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int:
    seconds = parse_seconds(text, "age")
    if seconds < LEAST_SECONDS:
        raise click.BadParameter(f"{text!r} is less than a minute")
    return seconds


def recording_options(command: Command) -> Command:
    """Add `--flows-dir`, `--flows-max-age`, `--flows-max-size`, `--no-flows`, `--commits-dir`, `--commits-max-size`."""
    for option in (
        click.option(
            "--commits-max-size",
            "commits_bytes",
            callback=_at_least(LEAST_COMMIT_BYTES, "1 MiB, which the commits take at least"),
            metavar="SIZE",
            default="64MiB",
            show_default=True,
            help="How much of it is kept: beyond that the oldest goes.",
        ),
        click.option(
            "--commits-dir",
            type=click.Path(file_okay=False, path_type=Path),
            help="Where every change is written down.  [default: commits in --state-dir if that is given, else "
            "/var/lib/ringfence/INSTANCE/commits]",
        ),
        click.option("--no-flows", is_flag=True, help="Keep no history of flows on the disk."),
        click.option(
            "--flows-max-size",
            callback=_at_least(LEAST_BYTES, "16 MiB, which a history takes at least"),
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
