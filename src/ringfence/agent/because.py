"""Because: the events that led to a change, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ringfence.engine.events import (
    EndpointAdded,
    EndpointDisconnected,
    EndpointLabelsChanged,
    EndpointRemoved,
    EntryDeleted,
    EntrySet,
    Event,
    NodeAddresses,
    PoliciesApplied,
    PoliciesDeleted,
    Restored,
    ServicesApplied,
    ServicesDeleted,
    Together,
)

_MOST_NAMES: Final = 8
_MOST_EVENTS: Final = 32
_SINGLE: Final[dict[type[Any], Callable[[Any], str]]] = {
    EndpointAdded: lambda event: f"endpoint {event.workload.name} added or changed",
    EndpointLabelsChanged: lambda event: f"labels of endpoint {event.name} changed",
    EndpointDisconnected: lambda event: f"interface of endpoint {event.name} gone",
    EndpointRemoved: lambda event: f"endpoint {event.name} deleted",
    EntrySet: lambda _: "entry set by hand",
    EntryDeleted: lambda _: "entry that was set by hand deleted",
    NodeAddresses: lambda _: "addresses of the node changed",
    Restored: lambda _: "agent started",
    PoliciesApplied: lambda event: _policies("applied", [policy.uid for policy in event.policies]),
    PoliciesDeleted: lambda event: _policies("deleted", event.uids),
    ServicesApplied: lambda event: _policies("applied", [each.uid for each in event.objects]),
    ServicesDeleted: lambda event: _policies("deleted", event.uids),
}


def event_texts(events: Sequence[Event | str]) -> list[str]:
    """Each event, those of several at once one by one; what came to nothing is left out."""
    single = list(_single(events))
    found = dict.fromkeys(filter(None, map(_text, single[:_MOST_EVENTS])))
    more = [f"and {len(single) - _MOST_EVENTS} more events"] if len(single) > _MOST_EVENTS else []
    return [*found, *more]


def _single(events: Sequence[Event | str]) -> Iterator[Event | str]:
    for event in events:
        if isinstance(event, Together):
            yield from _single(event.events)
        else:
            yield event


def _text(event: Event | str) -> str:
    tell: Any = _SINGLE.get(type(event), str)
    return str(tell(event))


def _policies(what: str, uids: Sequence[str]) -> str:
    if not uids:
        return ""
    more = f" and {len(uids) - _MOST_NAMES} more" if len(uids) > _MOST_NAMES else ""
    return f"{what}: {', '.join(uids[:_MOST_NAMES])}{more}"
