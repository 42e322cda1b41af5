"""The routes about the prefilter."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import StreamingResponse

from ringfence.api.control import Control
from ringfence.api.prefilter_shapes import ListedPrefix, PrefilterShape, PrefixesChanged, PrefixesRequest, PrefixFile
from ringfence.api.streams import in_slices
from ringfence.errors import BadInput

Holding = Annotated[str | None, Query(description="only prefixes that this address is in")]


def prefilter_routes(app: FastAPI, control: Control) -> None:
    """Add them to an application."""

    @app.get("/v1/prefilter")
    async def prefilter() -> PrefilterShape:
        return await control.prefilter.shape()

    @app.get("/v1/prefilter/prefixes", response_model=list[ListedPrefix])
    async def prefixes(address: Holding = None) -> StreamingResponse:
        try:
            wanted = ip_address(address) if address is not None else None
        except ValueError as error:
            raise BadInput(f"{address!r} is no address") from error
        return in_slices(await control.prefilter.listed(wanted))

    @app.post("/v1/prefilter/prefixes")
    async def add(request: PrefixesRequest) -> PrefixesChanged:
        return await control.prefilter.add(request["prefixes"], everything=request.get("everything", False))

    @app.delete("/v1/prefilter/prefixes")
    async def delete(request: PrefixesRequest) -> PrefixesChanged:
        return await control.prefilter.delete(request["prefixes"])

    @app.put("/v1/prefilter/prefixes")
    async def replace(request: PrefixFile) -> PrefixesChanged:
        everything = request.get("everything", False)
        return await control.prefilter.replace(request["name"], request["text"], everything=everything)
