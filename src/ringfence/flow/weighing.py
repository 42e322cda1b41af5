"""Weighing: how often what a change of policies opens or closes was really asked for, by recorded flows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network

from ringfence.errors import BadInput
from ringfence.flow.pasted import Pasted, read_pasted
from ringfence.policy.diff import Change, Group
from ringfence.policy.explanation.who import Asked
from ringfence.policy.ports import EVERYTHING, OTHERS
from ringfence.traffic import Protocol, Traffic


def weigh(changes: Sequence[Change], lines: Iterable[str], name: str) -> list[int]:
    """For each change how many flows of a file, one a line, are of what it changes. Raises `BadInput` with the line."""
    weights = [0] * len(changes)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            flow = read_pasted(line)
        except BadInput as error:
            raise BadInput(f"{name}:{number}:1: {error}") from error
        for index, change in enumerate(changes):
            weights[index] += _is_of(flow, change)
    return weights


def _is_of(flow: Pasted, change: Change) -> bool:
    if not any(_has(each, flow.traffic) for each in change.ports):
        return False
    sides = (flow.source, change.sources), (flow.destination, change.destinations)
    return all(any(_is_in(end, group) for group in groups) for end, groups in sides)


def _has(span: tuple[int, int, int], traffic: Traffic) -> bool:
    protocol, first, last = span
    if protocol == OTHERS:
        return traffic.protocol not in tuple(Protocol)
    if span == EVERYTHING:
        return True
    return protocol == traffic.protocol and first <= traffic.port <= last


def _is_in(end: Asked, group: Group) -> bool:
    if group.labels:
        return set(group.labels) == set(end.labels)
    if not any(label.startswith("reserved:world") for label in end.labels):
        return False
    return not group.prefix or ip_address(end.address) in ip_network(group.prefix)
