"""A GetFlows request: Hubble's filters as ours, its bounds as those of the flow source.

What Hubble's server does with `number`, `first`, `since` and `until` holds here too: with `since`, `number` counts from
there on; without either the answer is everything that is held. A filter's field that is not known is refused, because
the answer would hold flows that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from ringfence.errors import BadInput
from ringfence.flow.filter import FlowFilter
from ringfence.flow.query import FlowQuery
from ringfence.flow.source import MOST_FLOWS, check_bounds
from ringfence.hubble.wire import flow_pb2, observer_pb2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants. Times are in ns since the epoch, `since <= time < until`; `past` is False where only flows
    to come are wanted.
    """

    query: FlowQuery
    since: int | None
    until: int | None
    last: int | None
    first: int | None
    past: bool
    follow: bool

    @classmethod
    def read(cls, request: observer_pb2.GetFlowsRequest) -> Asked:
        """Read a request. Raises `BadInput` for what cannot be asked for."""
        if request.first and request.follow:
            raise BadInput("first and follow exclude each other")
        since = _nanoseconds(request.since) if request.HasField("since") else None
        until = _nanoseconds(request.until) + 1 if request.HasField("until") else None
        number = min(request.number, MOST_FLOWS) or None
        from_oldest = request.first or since is not None
        check_bounds(since, until, None, None)
        return cls(
            query=FlowQuery(_filters(request.whitelist), _filters(request.blacklist)),
            since=since,
            until=until,
            last=None if from_oldest else number,
            first=(number or MOST_FLOWS) if request.first else number if from_oldest else None,
            past=not request.follow or since is not None or number is not None,
            follow=request.follow,
        )


def _filters(asked: Iterable[flow_pb2.FlowFilter]) -> tuple[FlowFilter, ...]:
    return tuple(FlowFilter.from_fields(_fields(each)) for each in asked)


def _fields(asked: flow_pb2.FlowFilter) -> dict[str, Any]:
    """A filter's fields under Hubble's names."""
    _refuse_unknown(asked)
    return MessageToDict(asked, preserving_proto_field_name=True)


def _refuse_unknown(message: Message) -> None:
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise BadInput(f"field {unknown[0].field_number} of {message.DESCRIPTOR.full_name} is not known here")


def _nanoseconds(time: Timestamp) -> int:
    if not -62_135_596_800 <= time.seconds <= 253_402_300_799 or not 0 <= time.nanos < 1_000_000_000:
        raise BadInput(
            f"{time.seconds} s and {time.nanos} ns since 1970 is no time"
        )  # years 1 to 9999, as for protobuf
    return time.ToNanoseconds()
