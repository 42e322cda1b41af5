"""`ringfence top`: the dashboard."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from ringfence.cli.session import Session, pass_session
from ringfence.errors import Unavailable

if TYPE_CHECKING:
    from ringfence.tui.terms import Asked

SHORTEST, LONGEST = 0.1, 10.0


@click.command()
@click.argument("terms", nargs=-1, metavar="[TERM]...")
@click.option("--from", multiple=True, metavar="PEER", help="Only from: as the term from:PEER.")
@click.option("--to", multiple=True, metavar="PEER", help="Only to: as the term to:PEER.")
@click.option("--port", multiple=True, metavar="PORT", help="Only to a port: as the term port:8080/TCP.")
@click.option("--type", multiple=True, type=click.Choice(["drop", "allow"]), help="Only denials, or only the rest.")
@click.option("--rule", multiple=True, metavar="RULE", help="Only decided by: as the term rule:web.yaml:12.")
@click.option("--not", "unwanted", multiple=True, metavar="TERM", help="Without: as the term with a minus, -TERM.")
@click.option(
    "--interval",
    type=click.FloatRange(SHORTEST, LONGEST),
    default=0.5,
    show_default=True,
    help="Seconds between two drawings.",
)
@pass_session
def top(
    session: Session,
    /,
    *,
    terms: tuple[str, ...],
    unwanted: tuple[str, ...],
    interval: float,
    **options: tuple[str, ...],
) -> None:
    """Watch flows, endpoints, rules and losses live, and allow or deny a flow by a key.

    TERM is as in the filter line: from:app=front to:shop/backend port:8080/TCP verdict:drop. Terms of one name are
    alternatives, all names must agree. Press ? for the keys.
    """
    wanted = (f"{name}:{value}" for name, values in options.items() for value in values)
    asked = _asked([*terms, *wanted, *(f"-{term}" for term in unwanted)])
    if not is_terminal():
        raise Unavailable("top draws on a terminal, and this is none; for programs there is: ringfence monitor -o json")
    from ringfence.cli.connection import connect  # noqa: PLC0415 - its HTTP client, only once it is known to be needed
    from ringfence.tui.app import Options, run  # noqa: PLC0415 - textual takes longer to import than all else

    with connect(session) as client:
        client.status()
        run(Options(client.socket, interval, asked))


def is_terminal() -> bool:
    """Whether somebody sits there who can see a screen and press keys."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _asked(terms: list[str]) -> Asked:
    """What the terms ask for. BadInput for what the agent would refuse: here it is told before the screen is taken."""
    from ringfence.flow.query import FlowQuery  # noqa: PLC0415 - numpy
    from ringfence.tui.terms import parse_line  # noqa: PLC0415 - with the rest of the dashboard

    asked = parse_line(shlex.join(terms))
    FlowQuery.parse(asked.allow, asked.deny)
    return asked
