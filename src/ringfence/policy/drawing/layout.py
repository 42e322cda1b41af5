"""A layered layout: nodes in columns from left to right, each path from a column to a later one wherever it can be.

Columns are by longest way, edges that would close a cycle not counted; in a column, nodes stand near those that they
are joined with, found by going over the columns several times. Sizes are in pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_SWEEPS = 8


class Box(NamedTuple):
    """Where a node stands: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


def layered(
    sizes: Sequence[tuple[float, float]], edges: Iterable[tuple[int, int]], across: float = 220, between: float = 28
) -> list[Box]:
    """Boxes for nodes of these widths and heights. `across` is left between columns, for labels; `between` in one."""
    joined = sorted({edge for edge in edges if edge[0] != edge[1]})
    columns = _columns(len(sizes), joined)
    _order(columns, joined)
    tallest = max((sum(sizes[at][1] + between for at in column) for column in columns), default=0)
    boxes: dict[int, Box] = {}
    x = 0.0
    for column in columns:
        y = (tallest - sum(sizes[at][1] + between for at in column)) / 2
        for at in column:
            boxes[at] = Box(x, y, *sizes[at])
            y += sizes[at][1] + between
        x += max(sizes[at][0] for at in column) + across
    return [boxes[at] for at in range(len(sizes))]


def _columns(count: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    after: dict[int, list[int]] = defaultdict(list)
    for source, destination in edges:
        after[source].append(destination)
    forward = _without_cycles(count, edges, after)
    depth = [0] * count
    # In this order whatever leads to a node comes before it.
    for at in forward.order:
        for to in forward.after[at]:
            depth[to] = max(depth[to], depth[at] + 1)
    columns: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for at in range(count):
        columns[depth[at]].append(at)
    return [each for each in columns if each]


class _Forward(NamedTuple):
    order: list[int]
    after: dict[int, list[int]]


def _without_cycles(count: int, edges: Sequence[tuple[int, int]], after: dict[int, list[int]]) -> _Forward:
    """The edges without those that lead back to a node whose search is not done, and a topological order."""
    entered = {to for _, to in edges}
    kept: dict[int, list[int]] = defaultdict(list)
    state = [0] * count
    done: list[int] = []
    # Who is reached by nobody begins: the left column.
    for root in sorted(range(count), key=lambda at: (at in entered, at)):
        stack = [(root, iter(after[root]))] if not state[root] else []
        state[root] = state[root] or 1
        while stack:
            at, rest = stack[-1]
            to = next(rest, None)
            if to is None:
                state[at] = 2
                done.append(at)
                stack.pop()
            elif state[to] != 1:
                kept[at].append(to)
                if not state[to]:
                    state[to] = 1
                    stack.append((to, iter(after[to])))
    return _Forward(done[::-1], kept)


def _order(columns: list[list[int]], edges: Sequence[tuple[int, int]]) -> None:
    """Nodes of each column by the mean place of their neighbours in the others, forth and back."""
    near: dict[int, list[int]] = defaultdict(list)
    for source, destination in edges:
        near[source].append(destination)
        near[destination].append(source)
    place = {at: index / max(len(column), 1) for column in columns for index, at in enumerate(column)}
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else columns[::-1]:
            means = {at: sum(place[to] for to in near[at]) / len(near[at]) if near[at] else place[at] for at in column}
            column.sort(key=lambda at: means[at])
            place.update({at: index / len(column) for index, at in enumerate(column)})
