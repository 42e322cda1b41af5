"""What commands that work on files alone share: the agent's settings as options, a word on what is passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from ringfence.policy.parse import Parsed

Command = TypeVar("Command", bound=Callable[..., Any])


def settings_options(command: Command) -> Command:
    """Add the options that say which settings of the agent count: `enforcement` and `cidr_match`."""
    enforcement = click.option(
        "--policy-enforcement",
        "enforcement",
        type=click.Choice(["default", "always", "never"]),
        default="default",
        show_default=True,
        help="As the agent's option.",
    )
    cidr_match = click.option(
        "--policy-cidr-match-mode", "cidr_match", type=click.Choice(["nodes"]), help="As the agent's option."
    )
    return enforcement(cidr_match(command))


def say_passed_over(worlds: Iterable[Parsed]) -> None:
    """One line for all documents of kinds that have no bearing on policies."""
    counts: Counter[str] = Counter()
    for world in worlds:
        counts |= Counter(world.passed_over)
    if counts:
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
        click.echo(f"passed over: {told}", err=True)
