"""The service observer.Observer: flows that are past and to come, and what the server says of itself.

Everything runs in the loop of whoever serves it. A response is made when the one before it has been taken, so that a
client that reads slowly costs its queue and no more, and others get their turn after each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
import grpc.aio

from ringfence.errors import BadInput, Unavailable
from ringfence.flow.decode import Events
from ringfence.flow.hubble import CLUSTER
from ringfence.flow.source import MOST_FLOWS, FlowSource, FlowStream
from ringfence.hubble.messages import encoded, lost_response
from ringfence.hubble.request import Asked
from ringfence.hubble.seen import Seen
from ringfence.hubble.wire import flow_pb2, observer_pb2

SERVICE: Final = "observer.Observer"
_ABSENT: Final = ("GetAgentEvents", "GetDebugEvents")
#: What was found is held, 128 bytes a flow, until its client has read it; of all clients together no more than this.
MOST_HELD: Final = 2 * MOST_FLOWS
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Observed:
    """What is observed, by whom. `held` answers how many past flows are kept and how many at most; `lost` how many
    events the kernel had no room for so far; `namespaces` those of the known workloads.
    """

    node: str
    version: str
    source: FlowSource
    seen: Seen
    held: Callable[[], tuple[int, int]]
    lost: Callable[[], int]
    namespaces: Callable[[], list[str]]


class Observer:
    """The methods of the service."""

    def __init__(self, observed: Observed) -> None:
        self._ = observed
        self._held = 0
        self._reading = asyncio.Lock()  # one at a time finds past flows: what it may find is not known before

    async def flows(self, request: observer_pb2.GetFlowsRequest, context: Context) -> None:
        """GetFlows: past flows as asked for, then those to come if they are wanted too."""
        try:
            asked = Asked.read(request)
            # Followed from before the past is read: nothing falls in between.
            stream = self._.source.follow(asked.query) if asked.follow else None
            try:
                async for response in self._responses(asked, stream):
                    await context.write(response)
            finally:
                if stream:
                    stream.close()
        except grpc.aio.InternalError:
            return  # the client went away, in the midst of a response
        except BadInput as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Unavailable as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))

    async def _responses(self, asked: Asked, stream: FlowStream | None) -> AsyncIterator[bytes]:
        if asked.past:
            async for response in self._past(asked, stream):
                yield response
        if stream:
            async for response in self._later(asked, stream):
                yield response

    async def _past(self, asked: Asked, stream: FlowStream | None) -> AsyncIterator[bytes]:
        read = partial(
            self._.source.past,
            asked.query,
            since_ns=asked.since,
            until_ns=asked.until,
            last=asked.last,
            first=asked.first,
            before=stream.start if stream else None,
        )
        async with self._reading:
            if self._held + (asked.last or asked.first or MOST_FLOWS) > MOST_HELD:
                raise Unavailable(f"{self._held} flows found for others are not read yet; try again, or ask for fewer")
            batches = await asyncio.to_thread(read)
            found = sum(len(events) for events, _ in batches)
            self._held += found
        try:
            batches.reverse()
            while batches:  # what is told is let go
                events, names = batches.pop()
                for response in encoded(events, names, self._.node):
                    yield response
        finally:
            self._held -= found

    async def _later(self, asked: Asked, stream: FlowStream) -> AsyncIterator[bytes]:
        lost_before = self._.lost()
        async for batch in stream.batches():
            lost = self._.lost()
            if lost > lost_before:
                yield self._lost(lost - lost_before, flow_pb2.PERF_EVENT_RING_BUFFER)
                lost_before = lost
            if isinstance(batch, int):
                yield self._lost(batch, flow_pb2.HUBBLE_RING_BUFFER)
                continue
            events = _until(batch, asked.until)
            for response in encoded(events, self._.source.names, self._.node):
                yield response
            if len(events) < len(batch):
                return

    def _lost(self, count: int, source: flow_pb2.LostEventSource) -> bytes:
        return lost_response(count, source, self._.node, time.time_ns())

    async def status(self, _request: object, _context: Context) -> observer_pb2.ServerStatusResponse:
        """ServerStatus."""
        held, most = self._.held()
        return observer_pb2.ServerStatusResponse(
            num_flows=held,
            max_flows=most,
            seen_flows=self._.seen.total,
            uptime_ns=self._.seen.uptime_ns,
            version=self._.version,
            flows_rate=self._.seen.rate(),
        )

    async def nodes(self, _request: object, _context: Context) -> observer_pb2.GetNodesResponse:
        """GetNodes: this one."""
        held, most = self._.held()
        node = observer_pb2.Node(
            name=self._.node,
            version=self._.version,
            state=observer_pb2.NODE_CONNECTED,
            tls=observer_pb2.TLS(enabled=False),
            uptime_ns=self._.seen.uptime_ns,
            num_flows=held,
            max_flows=most,
            seen_flows=self._.seen.total,
        )
        return observer_pb2.GetNodesResponse(nodes=[node])

    async def namespaces(self, _request: object, _context: Context) -> observer_pb2.GetNamespacesResponse:
        """GetNamespaces: of the workloads that are known."""
        found = [observer_pb2.Namespace(cluster=CLUSTER, namespace=name) for name in self._.namespaces()]
        return observer_pb2.GetNamespacesResponse(namespaces=found)


def _until(events: Events, until: int | None) -> Events:
    """Those before a time, up to the first that is not."""
    if until is None or not (events["time"] >= until).any():
        return events
    return events[: int((events["time"] >= until).argmax())]


async def _absent(name: str, _request: object, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name}: Ringfence has no such events; there is GetFlows")


def observer_handler(observer: Observer) -> grpc.GenericRpcHandler:
    """The service for a server of grpc.aio."""
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    answers: dict[str, tuple[Any, Any]] = {
        "ServerStatus": (observer.status, observer_pb2.ServerStatusRequest),
        "GetNodes": (observer.nodes, observer_pb2.GetNodesRequest),
        "GetNamespaces": (observer.namespaces, observer_pb2.GetNamespacesRequest),
    }
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        name: unary(method, request.FromString, lambda response: response.SerializeToString())
        for name, (method, request) in answers.items()
    }
    methods["GetFlows"] = stream(observer.flows, observer_pb2.GetFlowsRequest.FromString)
    methods |= {name: unary(partial(_absent, name)) for name in _ABSENT}
    return grpc.method_handlers_generic_handler(SERVICE, methods)
