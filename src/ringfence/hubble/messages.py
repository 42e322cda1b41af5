"""Messages: events as the responses of GetFlows, in the bytes that go over the wire.

Most events of a busy host differ from others in time and ports alone. One message is made of each kind of them, by
`flow_fields`, and the others are that message with other times and ports: that costs a tenth of making one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ringfence.abi import EventKind, Verdict
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names, flows
from ringfence.flow.flow import Flow
from ringfence.flow.hubble import flow_fields
from ringfence.hubble.wire import flow_pb2, observer_pb2

_NS = 1_000_000_000
_CHUNK = 256  # rows whose keys are made in one go
_MOULDS: Final = 1024
#: What a mould is filled with, and what of an event no message tells.
_FILLED: Final = ("time", "source_port", "destination_port", "length")
_TOTALS: Final = ("packets", "bytes")


def flow_response(flow: Flow, node: str) -> observer_pb2.GetFlowsResponse:
    """A flow as GetFlows answers it."""
    fields = flow_fields(flow, node)
    time: Any = {"seconds": int(flow.time.timestamp()), "nanos": flow.time.microsecond * 1000}
    if "is_reply" in fields:
        fields["is_reply"] = {"value": fields["is_reply"]}
    message = flow_pb2.Flow(**(fields | {"time": time}))
    return observer_pb2.GetFlowsResponse(flow=message, node_name=node, time=time)


def lost_response(count: int, source: flow_pb2.LostEventSource, node: str, time: int) -> bytes:
    """So many events that were lost, noticed at a time in ns since the epoch."""
    seconds, nanos = divmod(time, _NS)
    lost = flow_pb2.LostEvent(source=source, num_events_lost=count)
    told: Any = {"seconds": seconds, "nanos": nanos}
    return observer_pb2.GetFlowsResponse(lost_events=lost, node_name=node, time=told).SerializeToString()


@dataclass(slots=True)
class _Mould:
    """A message that stands for all events of its kind once time and ports are filled in."""

    response: observer_pb2.GetFlowsResponse
    ports: flow_pb2.TCP | flow_pb2.UDP | flow_pb2.SCTP | None

    def filled(self, time: int, source_port: int, destination_port: int) -> bytes:
        seconds, nanos = divmod(time, _NS)
        for stamp in (self.response.time, self.response.flow.time):
            stamp.seconds, stamp.nanos = seconds, nanos
        if self.ports is not None:
            self.ports.source_port, self.ports.destination_port = source_port, destination_port
        return self.response.SerializeToString()


def encoded(events: Events, names: Names, node: str) -> Iterator[bytes]:
    """A response for every event, in order, each made when it is asked for."""
    moulds: dict[bytes, _Mould] = {}
    for start in range(0, len(events), _CHUNK):
        chunk = events[start : start + _CHUNK]
        columns = [chunk[name].tolist() for name in ("time", "source_port", "destination_port")]
        for row, (key, time, *ports) in enumerate(zip(_kinds(chunk), *columns, strict=True)):
            mould = moulds.get(key)
            if mould is None:
                if len(moulds) == _MOULDS:
                    moulds.clear()
                mould = moulds[key] = _mould(next(flows(chunk[row : row + 1], names)), node)
            yield mould.filled(time, *ports)


def _mould(flow: Flow, node: str) -> _Mould:
    response = flow_response(flow, node)
    name = response.flow.l4.WhichOneof("protocol")
    return _Mould(response, getattr(response.flow.l4, name) if name in {"TCP", "UDP", "SCTP"} else None)


def _kinds(events: Events) -> list[bytes]:
    """What tells events apart whose messages differ in more than time and ports."""
    alike = events.copy()
    for name in _FILLED:
        alike[name] = 0
    # Totals are told of the end of a connection, and of a denial that stands for others.
    told = (events["kind"] == EventKind.CLOSE) | ((events["verdict"] == Verdict.DENY) & (events["packets"][:, 0] > 1))
    for name in _TOTALS:
        alike[name] = np.where(told[:, None], alike[name], 0)
    data, size = alike.tobytes(), alike.dtype.itemsize
    return [data[start : start + size] for start in range(0, len(data), size)]
