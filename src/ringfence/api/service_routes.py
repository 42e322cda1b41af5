"""The routes about services."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from typing_extensions import TypedDict

from ringfence.api import shapes
from ringfence.api.control import Control
from ringfence.api.service_shapes import BalancingShape, ServiceShape
from ringfence.api.streams import in_slices


class ServiceNames(TypedDict):
    """Services by `[NAMESPACE/]NAME`."""

    names: list[str]


def service_routes(app: FastAPI, control: Control) -> None:
    """Add them to an application."""

    @app.get("/v1/services", response_model=list[ServiceShape])
    async def services() -> StreamingResponse:
        return in_slices(control.services())

    @app.delete("/v1/services")
    async def delete_services(request: ServiceNames) -> shapes.Applied:
        return await control.delete_services(request["names"])

    @app.get("/v1/bpf/lb")
    async def balancing() -> BalancingShape:
        return await control.inspection.balancing()
