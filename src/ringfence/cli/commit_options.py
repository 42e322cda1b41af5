"""The options of commands that change what is in force: why it is changed, and whether it has to be confirmed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ringfence.cli.amounts import parse_seconds

ALLOW_LOCKOUT = click.option(
    "--allow-lockout", is_flag=True, help="Also where it cuts your own connection to this node, or an administrator's."
)
Command = TypeVar("Command", bound=Callable[..., Any])


def ssh_connection() -> str:
    """How the user of this command is connected, if by ssh and the environment was kept."""
    return os.environ.get("SSH_CONNECTION", "")


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
