"""`ringfence flows query`: SQL over the history."""

from __future__ import annotations

from pathlib import Path

import click

from ringfence.cli.flows_history import directory_option, place, print_rows
from ringfence.cli.output import output_option
from ringfence.cli.session import Session, pass_session

EXAMPLES = """\b
Examples:
  ringfence flows query "describe flows"
  ringfence flows query "select time, source_endpoint, port, rule from flows where verdict = 'deny' limit 10"
  ringfence flows query "select port, count(*) from flows where has_label(source_labels, 'app=web') group by port"
"""


@click.command(epilog=EXAMPLES)
@click.argument("statement")
@directory_option
@output_option("csv")
@pass_session
def query(session: Session, *, statement: str, directory: Path | None, output: str) -> None:
    """Answer one SELECT over the view `flows`, in DuckDB's SQL."""
    where = place(session, directory)
    from ringfence.history.database import opened  # noqa: PLC0415 - comes with an extra, and is slow to import

    with opened(where) as database:
        print_rows(database.select(statement), output)
