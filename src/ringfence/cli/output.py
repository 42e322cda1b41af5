"""Output: tables for people, JSON for programs, from the same rows.

A table is as wide as it needs to be when it goes into a pipe, and has colours only on a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

Command = TypeVar("Command", bound=Callable[..., Any])
PIPE_WIDTH = 10_000


def output_option(*further: str) -> Callable[[Command], Command]:
    """Add `-o table|json` and the further forms that a command has."""
    forms = ["table", "json", *further]
    return click.option(
        "-o", "--output", type=click.Choice(forms), default="table", show_default=True, help="Form of the output."
    )


def numbers_option(command: Command) -> Command:
    """Add `-n`: no names beside the numbers."""
    return click.option("-n", "--numeric", is_flag=True, help="Numbers only, without label names.")(command)


def print_json(value: object) -> None:
    """Print a value as JSON, keys in the order the agent gives them."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_line(value: object) -> None:
    """Print a value as JSON on a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = ()) -> None:
    """Print rows under upper-case headings; the columns named in `right` are flush right."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    flush_right = set(right)
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in flush_right else "left",
            overflow="fold",
            no_wrap=not console.is_terminal,
        )
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else Text(_cell(value)) for value in row))
    console.print(table)


def print_record(record: Mapping[str, object]) -> None:
    """Print one thing, a field a line."""
    width = max((len(name) for name in record), default=0) + 2
    for name, value in record.items():
        click.echo(f"{name + ':':<{width}}{_field(value)}")


def labels(names: Iterable[str]) -> str:
    """Show a label set on one line."""
    return ",".join(names)


def named(number: int, names: Sequence[str], *, numeric: bool) -> str:
    """Show an identity: its number, and its labels beside it unless only numbers are wanted."""
    return str(number) if numeric or not names else f"{number} ({labels(names)})"


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else str(value)


def _field(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_field(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_field(inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _cell(value)
