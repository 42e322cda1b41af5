"""gRPC's health service: serving, until the server is to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio

from ringfence.hubble.service import SERVICE
from ringfence.hubble.wire import health_pb2

#: What clients ask after: the server, its service, and the name that Hubble's own clients know the service by.
NAMES: Final = ("", SERVICE, "hubble.server.Observer")
Context = grpc.aio.ServicerContext[Any, Any]
_Response = health_pb2.HealthCheckResponse


class Health:
    """The methods of the service."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Tell whoever watches, and whoever asks from now on."""
        self._stopping.set()

    async def check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Check: an unknown service is an error."""
        if request.service not in NAMES:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return self._now()

    async def watch(
        self, request: health_pb2.HealthCheckRequest, _context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Watch: what it is and every change; an unknown service stays unknown."""
        if request.service not in NAMES:
            yield _Response(status=_Response.SERVICE_UNKNOWN)
            await self._stopping.wait()
            return
        told = self._now()
        yield told
        if told.status == _Response.SERVING:
            await self._stopping.wait()
            yield self._now()

    def _now(self) -> health_pb2.HealthCheckResponse:
        return _Response(status=_Response.NOT_SERVING if self._stopping.is_set() else _Response.SERVING)


def health_handler(health: Health) -> grpc.GenericRpcHandler:
    """The service for a server of grpc.aio."""
    read, write = health_pb2.HealthCheckRequest.FromString, _Response.SerializeToString
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Check": grpc.unary_unary_rpc_method_handler(health.check, read, write),
        "Watch": grpc.unary_stream_rpc_method_handler(health.watch, read, write),
    }
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods)
