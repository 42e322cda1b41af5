"""The routes about the kernel's maps: addresses, connections, counters, and every map as it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Query
from fastapi.responses import StreamingResponse

from ringfence.api import shapes
from ringfence.api.control import Control
from ringfence.api.inspected import Element, ElementChanged, LocalAddress, MetricShape
from ringfence.api.streams import in_slices, json_lines
from ringfence.flow.connections import ConnectionFilter

_Terms = Annotated[list[str] | None, Query()]


def _wanted(
    from_: Annotated[list[str] | None, Query(alias="from")] = None,  # a word of Python's
    to: _Terms = None,
    port: str | None = None,
    protocol: str | None = None,
    identity: int | None = None,
    state: _Terms = None,
) -> ConnectionFilter:
    return ConnectionFilter.parse(from_ or (), to or (), port, protocol, identity, state or ())


_Wanted = Annotated[ConnectionFilter, Depends(_wanted)]


def bpf_routes(app: FastAPI, control: Control) -> None:
    """Add them to an application."""
    _table_routes(app, control)
    _map_routes(app, control)


def _table_routes(app: FastAPI, control: Control) -> None:
    @app.get("/v1/bpf/ipcache", response_model=list[shapes.IpcacheShape])
    async def ipcache(address: str | None = None) -> StreamingResponse:
        return in_slices(control.ipcache(address))

    @app.get("/v1/bpf/ct", response_model=list[shapes.ConnectionShape])
    async def connections(wanted: _Wanted) -> StreamingResponse:
        return in_slices(await control.inspection.connections(wanted))

    @app.delete("/v1/bpf/ct")
    async def flush_connections(wanted: _Wanted) -> shapes.Flushed:
        return await control.inspection.flush_connections(wanted)

    @app.get("/v1/bpf/metrics")
    async def metrics() -> list[MetricShape]:
        return await control.inspection.metrics()

    @app.get("/v1/bpf/endpoints")
    async def endpoints() -> list[LocalAddress]:
        return await control.inspection.endpoints()


def _map_routes(app: FastAPI, control: Control) -> None:
    @app.get("/v1/bpf/maps")
    async def maps() -> list[shapes.MapShape]:
        return await control.inspection.maps()

    @app.get("/v1/bpf/maps/{name}", response_model=shapes.MapDump)
    async def bpf_map(name: str) -> StreamingResponse:
        found = await control.inspection.map(name)
        return in_slices(found["rows"], {"name": found["name"]}, "rows")

    @app.get("/v1/bpf/maps/{name}/changes", response_class=StreamingResponse)
    async def map_changes(
        name: str,
        follow: bool = False,  # noqa: FBT001, FBT002 - a query parameter
    ) -> StreamingResponse:
        return json_lines(control.inspection.map_changes(name, follow=follow))

    @app.put("/v1/bpf/maps/{name}")
    async def write_element(name: str, element: Element) -> ElementChanged:
        return await control.inspection.write_element(name, element)

    @app.delete("/v1/bpf/maps/{name}")
    async def delete_element(name: str, element: Element) -> ElementChanged:
        return await control.inspection.delete_element(name, element)
