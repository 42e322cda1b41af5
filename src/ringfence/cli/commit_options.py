"""The options of commands that change what is in force: why it is changed, and whether it has to be confirmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ringfence.cli.amounts import parse_seconds

Command = TypeVar("Command", bound=Callable[..., Any])


def _confirm(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> int:
    return parse_seconds(text, "time to confirm within") if text else 0


def commit_options(command: Command) -> Command:
    """Add `--message` and `--confirm`."""
    why = click.option("-m", "--message", "why", default="", metavar="TEXT", help="Why, for `policy history`.")
    confirm = click.option(
        "--confirm",
        callback=_confirm,
        metavar="TIME",
        help="Take it back after TIME, as 60s, unless `policy confirm` is given until then.",
    )
    return why(confirm(command))
