"""The routes about staged policies."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from ringfence.api import shapes
from ringfence.api.control import Control
from ringfence.api.staged_shapes import StagedShape, StageRequest


def staged_routes(app: FastAPI, control: Control) -> None:
    """Add them to an application."""

    @app.get("/v1/staged")
    async def staged() -> StagedShape:
        return control.staging.shape()

    @app.put("/v1/staged")
    async def stage(request: StageRequest) -> shapes.Applied:
        return await control.staging.stage(request)

    @app.delete("/v1/staged")
    async def unstage() -> shapes.Applied:
        return await control.staging.unstage()

    @app.post("/v1/staged/promote")
    async def promote(request: shapes.Guard) -> shapes.Applied:
        return await control.staging.promote(request)

    @app.get("/v1/staged/events", response_class=StreamingResponse)
    async def follow() -> StreamingResponse:
        return StreamingResponse(control.staging.follow(), media_type="application/x-ndjson")
