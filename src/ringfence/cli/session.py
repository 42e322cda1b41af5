"""A session: which agent a command talks to, as the global options say. Nothing slow is imported here."""

from __future__ import annotations

from dataclasses import dataclass

import click

DEFAULT_INSTANCE = "default"


@dataclass(frozen=True, slots=True)
class Session:
    """The global options; None where nothing was said."""

    instance: str | None = None
    socket: str | None = None


pass_session = click.make_pass_decorator(Session)
