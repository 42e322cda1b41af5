"""Ports that get through: spans of them between neighbouring edges of rules, joined, put together, and as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import Final

from ringfence.policy.classes import Span, traffic_classes
from ringfence.policy.parties import Placed
from ringfence.policy.rule import Rule
from ringfence.policy.verify import spans_of
from ringfence.policy.world import Actor
from ringfence.traffic import LAST_PORT, Protocol, Traffic, format_protocol, format_traffic, last_port

#: Told apart whether a rule names them or not, so that what is said of other protocols is plain.
ALWAYS: Final = tuple(Span(each, 0, last_port(each)) for each in Protocol)
#: In place of a protocol: all that are neither of these nor named by a rule.
OTHERS: Final = -1
#: All ports of all protocols.
EVERYTHING: Final = Span(-2, 0, LAST_PORT)


def kinds_of_traffic(rules: Iterable[Rule], destination: Placed | Actor) -> list[Traffic]:
    """One of each kind of traffic to a destination that some rules tell apart."""
    return traffic_classes([*ALWAYS, *spans_of(rules, destination)])


def segments(classes: list[Traffic]) -> Iterator[Span]:
    """From one of each kind of traffic to all of that kind."""
    for protocol, found in groupby(classes, key=lambda each: each.protocol):
        starts = [each.port for each in found]
        ends = [after - 1 for _, after in pairwise(starts)]
        yield from (
            Span(protocol, *each) for each in zip(starts, [*ends, min(last_port(protocol), LAST_PORT)], strict=True)
        )


def ports_text(ports: Iterable[Span]) -> str:
    """Ranges of ports as people write them: `80/TCP, 8000-8100/TCP, all UDP`."""
    return ", ".join(span_text(each) for each in ports)


def span_text(span: Span) -> str:
    """One range: `8000-8100/TCP`, `all UDP`, `everything`."""
    if span == EVERYTHING:
        return "everything"
    if span.protocol == OTHERS:
        return "other protocols"
    if span.first == 0 and span.last in (255, LAST_PORT):
        return f"all {format_protocol(span.protocol)}"
    if span.first == span.last:
        return format_traffic(span.protocol, span.first)
    return f"{span.first}-{span.last}/{format_protocol(span.protocol)}"


def common(one: Iterable[Span], other: Iterable[Span]) -> tuple[Span, ...]:
    """What is in both, in order. `EVERYTHING` is not taken apart."""
    theirs = list(other)
    found = (
        Span(each.protocol, max(each.first, their.first), min(each.last, their.last))
        for each in one
        for their in theirs
        if each.protocol == their.protocol
    )
    return tuple(sorted(each for each in found if each.first <= each.last))


def together(spans: Iterable[Span]) -> tuple[Span, ...]:
    """What is in any of them, in order, neighbours and what overlaps as one. `EVERYTHING` is not taken apart."""
    found: list[Span] = []
    for span in sorted(spans):
        last = found[-1] if found else None
        if last is not None and last.protocol == span.protocol and span.first <= last.last + 1:
            found[-1] = last._replace(last=max(last.last, span.last))
        else:
            found.append(span)
    return tuple(found)
