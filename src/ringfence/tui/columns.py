"""Columns: how wide each of a list is on a terminal of some width, and its cells cut to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = 1
_MORE: Final = "…"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: never narrower than `width`; what the terminal has left over goes by `weight`.

    `ends` tells that the end of a text says more than its beginning: it is cut on the left.
    """

    title: str
    width: int
    weight: int = 0
    right: bool = False
    ends: bool = False


def widths(columns: Sequence[Column], total: int) -> list[int]:
    """The width of each column; together with the gaps between them they fill `total`, or need more."""
    spare = max(0, total - sum(column.width for column in columns) - GAP * (len(columns) - 1))
    shares = sum(column.weight for column in columns) or 1
    found = [column.width + spare * column.weight // shares for column in columns]
    rest = total - sum(found) - GAP * (len(columns) - 1)
    growing = [number for number, column in enumerate(columns) if column.weight]
    for number in growing[: max(0, rest)]:
        found[number] += 1
    return found


def cut(text: str, width: int, *, ends: bool = False) -> str:
    """A text no longer than a width, with a mark where something is missing."""
    if len(text) <= width:
        return text
    if width < 1:
        return ""
    return _MORE + text[len(text) - width + 1 :] if ends else text[: width - 1] + _MORE


def cell(column: Column, width: int, *texts: str) -> str:
    """The first of several ways to say something that fits, else the last of them cut; padded to the width."""
    chosen = next((text for text in texts if len(text) <= width), cut(texts[-1], width, ends=column.ends))
    return chosen.rjust(width) if column.right else chosen.ljust(width)


def heading(columns: Sequence[Column], total: int) -> str:
    """The titles over their columns."""
    found = zip(columns, widths(columns, total), strict=True)
    return (" " * GAP).join(cell(column, width, column.title) for column, width in found)
