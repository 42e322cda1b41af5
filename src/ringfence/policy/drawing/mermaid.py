"""Reachability as a Mermaid flowchart: what GitHub and many wikis draw by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ringfence.policy.drawing.words import drawn, node_lines, path_text
from ringfence.policy.reach import Node, Reach

_SHAPES: Final = {"workload": ('["', '"]'), "entity": ('{{"', '"}}'), "outside": ('(["', '"])')}


def mermaid(reach: Reach, *, defaults: bool = False) -> str:
    """The text of a flowchart. Workloads that are not isolated have a dashed border."""
    return "\n".join([*_lines(reach, defaults=defaults), ""])


def _lines(reach: Reach, *, defaults: bool) -> Iterator[str]:
    yield "flowchart LR"
    for at, node in enumerate(reach.nodes):
        before, after = _SHAPES[node.kind]
        yield f"  n{at}{before}{'<br/>'.join(map(_escaped, node_lines(node)))}{after}{':::open' if _open(node) else ''}"
    for path in drawn(reach, defaults=defaults):
        yield f'  n{path.source} -->|"{_escaped(path_text(path))}"| n{path.destination}'
    yield "  classDef open stroke-dasharray: 5 4"


def _open(node: Node) -> bool:
    return node.kind == "workload" and not node.isolated


def _escaped(text: str) -> str:
    """Mermaid's entities are like those of HTML with # for &; whatever could end a label or start markup is one."""
    return "".join(each if each.isalnum() or each in " .,:/=-_" else f"#{ord(each)};" for each in text)
