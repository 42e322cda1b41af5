"""What the commands over a history share: where it is, its times, and how its rows are printed as they come."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ringfence.cli.session import DEFAULT_INSTANCE, Session
from ringfence.errors import Unavailable
from ringfence.flow.when import parse_time
from ringfence.history.extra import not_installed
from ringfence.history.places import found_flows

if TYPE_CHECKING:
    from ringfence.history.database import Rows

Command = TypeVar("Command", bound=Callable[..., Any])
#: Rows that are looked at to find how wide a table is; the rest follows without waiting for the last.
MEASURED_ROWS = 1000
NS = 1_000_000_000


def directory_option(command: Command) -> Command:
    """Add `--dir`."""
    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        help="Where the history is.  [default: /var/lib/ringfence/INSTANCE/flows]",
    )(command)


def times_options(command: Command) -> Command:
    """Add `--since` and `--until`, in ns since the epoch."""
    since = click.option(
        "--since", callback=_time, metavar="TIME", help="Only flows since then: 1h (ago), RFC 3339 or unix seconds."
    )
    until = click.option("--until", callback=_time, metavar="TIME", help="Only flows before then.")
    return since(until(command))


def _time(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_time(text, time_ns())


def place(session: Session, directory: Path | None) -> Path:
    """The directory that is meant. Unavailable where the extra is not installed."""
    if missing := not_installed("pyarrow", "duckdb"):
        raise Unavailable(missing)
    return directory or found_flows(session.instance or DEFAULT_INSTANCE)


def between(since: int | None, until: int | None) -> tuple[str, list[datetime]]:
    """A condition in SQL, and its parameters, for flows of a time, to the microsecond."""
    bounds = [("time >= ?", since), ("time < ?", until)]
    given = [(condition, _moment(ns)) for condition, ns in bounds if ns is not None]
    return " AND ".join(["true", *(condition for condition, _ in given)]), [moment for _, moment in given]


def _moment(ns: int) -> datetime:
    seconds, rest = divmod(ns, NS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def print_rows(found: Rows, output: str) -> None:
    """Print rows as they come: a table, one JSON array, or CSV with a line of headings."""
    forms: dict[str, Callable[[Rows], None]] = {"table": _print_table, "json": _print_json, "csv": _print_csv}
    forms[output](found)


def _print_json(found: Rows) -> None:
    from ringfence.flow.format import RFC3339  # noqa: PLC0415 - imports numpy, which --help needs not

    def plain(value: object) -> object:
        return value.astimezone(UTC).strftime(RFC3339) if isinstance(value, datetime) else str(value)

    before = "[\n"
    for row in found.rows:
        document = dict(zip(found.columns, row, strict=True))
        click.echo(before + json.dumps(document, ensure_ascii=False, default=plain), nl=False)
        before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def _print_csv(found: Rows) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found.columns)
    for row in found.rows:
        writer.writerow(["" if value is None else _text(value) for value in row])


def _print_table(found: Rows) -> None:
    first = list(islice(found.rows, MEASURED_ROWS))
    cells = [[_cell(value) for value in row] for row in first]
    titles = [column.upper() for column in found.columns]
    widths = [max(len(row[at]) for row in [titles, *cells]) for at in range(len(titles))]
    right = [bool(first) and all(isinstance(row[at], int | float | None) for row in first) for at in range(len(titles))]

    def line(row: list[str]) -> str:
        padded = zip(row, widths, right, strict=True)
        return "  ".join(text.rjust(width) if flush else text.ljust(width) for text, width, flush in padded).rstrip()

    for row in [titles, *cells]:
        click.echo(line(row))
    for further in _cells(found.rows):
        click.echo(line(further))


def _cells(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[str]]:
    return ([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else _text(value)


def _text(value: object) -> str:
    from ringfence.flow.format import RFC3339  # noqa: PLC0415 - imports numpy, which --help needs not

    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).strftime(RFC3339)
    text = str(value)
    # A text that was recorded does not steer the terminal.
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
