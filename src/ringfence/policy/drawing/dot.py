"""Reachability as DOT, for Graphviz and what reads its language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ringfence.policy.drawing.words import drawn, node_lines, path_text
from ringfence.policy.reach import Reach

_SHAPES: Final = {"workload": "box", "entity": "hexagon", "outside": "ellipse"}


def dot(reach: Reach, *, defaults: bool = False) -> str:
    """The text of a digraph. Workloads that are not isolated have a dashed border."""
    return "\n".join([*_lines(reach, defaults=defaults), ""])


def _lines(reach: Reach, *, defaults: bool) -> Iterator[str]:
    yield "digraph policies {"
    yield "  rankdir=LR;"
    for at, node in enumerate(reach.nodes):
        label = "\\n".join(map(_escaped, node_lines(node)))
        style = ", style=dashed" if node.kind == "workload" and not node.isolated else ""
        yield f'  n{at} [label="{label}", shape={_SHAPES[node.kind]}{style}];'
    for path in drawn(reach, defaults=defaults):
        yield f'  n{path.source} -> n{path.destination} [label="{_escaped(path_text(path))}"];'
    yield "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
