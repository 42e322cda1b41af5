"""Reachability as one SVG file that needs nothing else: nodes in columns, paths as curves with their ports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from ringfence.policy.drawing.layout import Box, layered
from ringfence.policy.drawing.words import drawn, node_lines, path_text
from ringfence.policy.reach import Node, Reach, Reached

_MARGIN: Final = 24
_LINE: Final = 16
#: Of a letter of the font below, about.
_LETTER: Final = 7.0
_FILL: Final = {"workload": "#eef4ff", "entity": "#fff4e0", "outside": "#f0f0f0"}
_STYLE: Final = (
    "text{font:12px sans-serif;fill:#1b1f24}.small{font-size:11px;fill:#57606a}.path{fill:none;stroke:#57606a}"
    ".label{font-size:11px;paint-order:stroke;stroke:#fff;stroke-width:4px}"
)
_TIP: Final = (
    '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    '<path d="M0,0L8,4L0,8z" fill="#57606a"/></marker></defs>'
)
_LEGEND: Final = (
    "Solid border: default deny, only what is drawn gets through. Dashed: not isolated; what holds by default"
)


def svg(reach: Reach, *, defaults: bool = False) -> str:
    """The text of the file. Workloads that are not isolated have a dashed border."""
    paths = drawn(reach, defaults=defaults)
    lines = [node_lines(each) for each in reach.nodes]
    sizes = [(max(map(len, each)) * _LETTER + 24, len(each) * _LINE + 14.0) for each in lines]
    across = max((len(path_text(each)) * _LETTER for each in paths), default=0) + 80
    boxes = [
        each._replace(x=each.x + _MARGIN, y=each.y + _MARGIN)
        for each in layered(sizes, [(each.source, each.destination) for each in paths], across)
    ]
    legend = f"{_LEGEND} is {'drawn, too' if defaults else 'not drawn'}."
    width = max([*(each.x + each.width for each in boxes), len(legend) * _LETTER]) + 3 * _MARGIN
    height = max((each.y + each.height for each in boxes), default=0) + 3 * _MARGIN
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f"<title>What policies let through</title><style>{_STYLE}</style>",
        _TIP,
        '<rect width="100%" height="100%" fill="#fff"/>',
        *(f'<path class="path" marker-end="url(#tip)" d="{_curve(boxes, each)}"/>' for each in paths),
        *(part for each in zip(reach.nodes, lines, boxes, strict=True) for part in _node(*each)),
        *_labels(boxes, paths),
        f'<text class="small" x="{_MARGIN}" y="{height - _MARGIN:.0f}">{escape(legend)}</text>',
        "</svg>",
    ]
    return "\n".join([*parts, ""])


def _node(node: Node, lines: Sequence[str], box: Box) -> Iterator[str]:
    dashed = ' stroke-dasharray="5 4"' if node.kind == "workload" and not node.isolated else ""
    yield (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="6" '
        f'fill="{_FILL[node.kind]}" stroke="#1b1f24"{dashed}/>'
    )
    for number, line in enumerate(lines, 1):
        kind = "" if number == 1 else ' class="small"'
        yield f'<text{kind} x="{box.x + 12:.0f}" y="{box.y + number * _LINE + 3:.0f}">{escape(line)}</text>'


def _points(boxes: Sequence[Box], path: Reached) -> list[tuple[float, float]]:
    """The four points of a curve. To the right it goes from side to side; back, and to itself, around below."""
    source, destination = boxes[path.source], boxes[path.destination]
    begin, end = source.y + source.height / 2, destination.y + destination.height / 2
    if destination.x > source.x:
        out, into = source.x + source.width, destination.x
        bend = (into - out) / 2
        return [(out, begin), (out + bend, begin), (into - bend, end), (into, end)]
    if path.source == path.destination:
        right, low = source.x + source.width, source.y + source.height
        return [(right, begin), (right + 50, begin), (right - 20, low + 50), (right - 20, low)]
    out, into = source.x + source.width, destination.x + destination.width
    far = max(out, into) + 60 + abs(end - begin) / 6
    return [(out, begin + 6), (far, begin + 6), (far, end + 6), (into, end + 6)]


def _curve(boxes: Sequence[Box], path: Reached) -> str:
    begin, *rest = [f"{x:.0f},{y:.0f}" for x, y in _points(boxes, path)]
    return f"M{begin} C{' '.join(rest)}"


def _labels(boxes: Sequence[Box], paths: Sequence[Reached]) -> Iterator[str]:
    """The ports on their curves, a line lower where another label stands already."""
    taken: list[tuple[float, float, float]] = []
    for path in paths:
        text = path_text(path)
        points = _points(boxes, path)
        x, y = ((a + 3 * b + 3 * c + d) / 8 for a, b, c, d in zip(*points, strict=True))
        x -= len(text) * _LETTER / 2
        while any(
            abs(y - other) < _LINE and left < x + len(text) * _LETTER and x < right for left, right, other in taken
        ):
            y += _LINE
        taken.append((x, x + len(text) * _LETTER, y))
        yield f'<text class="label" x="{x:.0f}" y="{y + 4:.0f}">{escape(text)}</text>'
