"""The routes about source translation."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import StreamingResponse

from ringfence.api import shapes
from ringfence.api.control import Control
from ringfence.api.nat_shapes import TranslationShape
from ringfence.api.streams import in_slices

Within = Annotated[str | None, Query(description="only flows of which an address is this or in this prefix")]
Of = Annotated[str | None, Query(description="only flows of this protocol, as tcp")]


def nat_routes(app: FastAPI, control: Control) -> None:
    """Add them to an application."""

    @app.get("/v1/bpf/nat", response_model=list[TranslationShape])
    async def translations(within: Within = None, protocol: Of = None) -> StreamingResponse:
        return in_slices(await control.inspection.translations(within, protocol))

    @app.delete("/v1/bpf/nat")
    async def flush(within: Within = None, protocol: Of = None) -> shapes.Flushed:
        return await control.inspection.flush_translations(within, protocol)
