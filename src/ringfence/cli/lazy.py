"""Lazy groups: commands known by name and a line of help, whose modules are imported when they are called.

Start-up counts on a command line: `ringfence --help` imports click and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click


class Lazy(NamedTuple):
    """Where a command stands, `module:attribute`, and what the list of commands says of it."""

    place: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands are imported on demand."""

    def __init__(self, *args: object, lazy: Mapping[str, Lazy], **keywords: object) -> None:
        super().__init__(*args, **keywords)  # type: ignore[arg-type]  # click's own arguments, passed on unread
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table, which is that of a user's way."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command."""
        if cmd_name not in self._lazy:
            return None
        module, attribute = self._lazy[cmd_name].place.split(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._lazy[cmd_name].place} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self._lazy.items()])
