"""`ringfence policy table`: who reaches whom as a matrix in the terminal; of files without an agent and root."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import Any

import click

from ringfence.cli.narrowing import narrowing_options, reach_of
from ringfence.cli.output import PIPE_WIDTH, output_option, print_json
from ringfence.policy.drawing.words import isolation
from ringfence.policy.ports import EVERYTHING, ports_text
from ringfence.policy.reach import Reach

ALL, NONE, NOT_ASKED = "all", "-", ""
_WIDEST = 24
_COLOURS = {ALL: "green", NONE: "red", NOT_ASKED: None}


@click.command("table")
@narrowing_options
@output_option()
def table(*, output: str, **asked: Any) -> None:
    """Show who reaches whom by the policies of FILEs, or of the agent without any.

    Rows are sources, columns destinations. A cell is `all`, `-` for nothing, or the ports; where they are too wide a
    letter that the legend explains. Groups that no policy tells apart are one row. A table too wide for the terminal
    comes in parts.
    """
    found = reach_of(asked)
    if output == "json":
        print_json({**found.to_dict(), "cells": _cells_by_name(found)})
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    for line in lines_of(found, width, coloured=sys.stdout.isatty()):
        click.echo(line)


def _cells_by_name(found: Reach) -> dict[str, dict[str, str]]:
    names, cells = [each.name for each in found.nodes], _cells(found)
    rows: dict[str, dict[str, str]] = {}
    for source, destination in sorted(found.asked):
        rows.setdefault(names[source], {})[names[destination]] = cells[source, destination]
    return rows


def _cells(found: Reach) -> dict[tuple[int, int], str]:
    cells = dict.fromkeys(found.asked, NONE)
    for path in found.paths:
        whole = path.ports == (EVERYTHING,)
        cells[path.source, path.destination] = ALL if whole else ports_text(path.ports)
    return cells


def lines_of(found: Reach, width: int, *, coloured: bool = False) -> Iterator[str]:
    """The lines of a table, in parts that are no wider than `width` characters, with its legend."""
    cells = _cells(found)
    rows = sorted({source for source, _ in found.asked})
    columns = sorted({destination for _, destination in found.asked})
    first = max((len(_title(found, at)) for at in rows), default=0)
    letters = _letters(cells.values(), min(_WIDEST, max(3, (width - first) // max(len(columns), 1) - 2)))
    shown = {pair: letters.get(text, text) for pair, text in cells.items()}
    widths = {to: max(len(str(to + 1)), *(len(shown.get((at, to), "")) for at in rows)) for to in columns}
    for part in _parts(columns, widths, width - first):
        yield " ".join([" " * first, *(f" {to + 1:>{widths[to]}}" for to in part)])
        for at in rows:
            line = [f"{_title(found, at):<{first}}"]
            line += [_styled(shown.get((at, to), NOT_ASKED), widths[to], coloured=coloured) for to in part]
            yield " ".join(line).rstrip()
        yield ""
    yield from _legend(found, sorted({*rows, *columns} - set(rows)), letters)


def _title(found: Reach, at: int) -> str:
    return f"{at + 1} {found.nodes[at].name}"


def _letters(texts: Any, widest: int) -> dict[str, str]:
    """A letter for each list of ports that is too wide for a cell."""
    wide = list(dict.fromkeys(each for each in texts if len(each) > widest))
    return {text: _letter(number) for number, text in enumerate(sorted(wide))}


def _letter(number: int) -> str:
    rest, at = divmod(number, len(ascii_lowercase))
    return f"{_letter(rest - 1) if rest else ''}{ascii_lowercase[at]}"


def _parts(columns: Sequence[int], widths: dict[int, int], room: int) -> Iterator[list[int]]:
    part: list[int] = []
    for to in columns:
        if part and sum(widths[each] + 2 for each in (*part, to)) > room:
            yield part
            part = []
        part.append(to)
    if part:
        yield part


def _styled(text: str, width: int, *, coloured: bool) -> str:
    padded = f" {text:>{width}}"
    colour = _COLOURS.get(text, "yellow") if coloured else None
    return click.style(padded, fg=colour) if colour else padded


def _legend(found: Reach, only_columns: Sequence[int], letters: dict[str, str]) -> Iterator[str]:
    yield from (_title(found, at) for at in only_columns)
    yield "rows reach columns: all, - nothing, or on these ports; empty: not a question of policies"
    yield from (f"{letter} = {text}" for text, letter in letters.items())
    open_ = [str(at + 1) for at, each in enumerate(found.nodes) if each.kind == "workload" and not each.isolated]
    if open_:
        yield f"not isolated: {', '.join(open_)}"
    for at, each in enumerate(found.nodes):
        if each.isolated:
            yield f"{at + 1} {isolation(each)}"
