"""What all drawings say alike: which paths are drawn, and the lines of a node and of a path."""

from __future__ import annotations

from ringfence.abi import Direction
from ringfence.policy.ports import ports_text
from ringfence.policy.reach import Node, Reach, Reached

_MOST_PORTS = 4


def drawn(reach: Reach, *, defaults: bool) -> list[Reached]:
    """The paths of a drawing: those that hold by default alone only if they are asked for, for they are most."""
    return [each for each in reach.paths if defaults or not each.by_default]


def node_lines(node: Node) -> list[str]:
    """The name; how many workloads if not one; and where it has a default deny, or that it has none."""
    lines = [node.name]
    if node.kind == "workload" and len(node.workloads) != 1:
        lines.append(f"{len(node.workloads)} workloads" if node.workloads else "no workload yet")
    if node.kind == "workload":
        lines.append(isolation(node))
    return lines


def isolation(node: Node) -> str:
    """`default deny: ingress, egress`, or `not isolated`."""
    sides = [each.name.lower() for each in Direction if each in node.isolated]
    return f"default deny: {', '.join(sides)}" if sides else "not isolated"


def path_text(path: Reached) -> str:
    """The ports of a path, the first few of many."""
    told = ports_text(path.ports[:_MOST_PORTS])
    return f"{told}, {len(path.ports) - _MOST_PORTS} more" if len(path.ports) > _MOST_PORTS else told
