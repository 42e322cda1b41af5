"""The routes of the agent's API. Each says what it takes and answers in `shapes`, and hands on to `Control`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ringfence.api import shapes
from ringfence.api.application import Api, Application
from ringfence.api.control import Control
from ringfence.api.routes import Routes
from ringfence.flow.filter import FlowFilter


def create_app(control: Control) -> Api:
    """The application over one agent."""
    routes = Routes()
    _endpoint_routes(routes, control)
    _policy_routes(routes, control)
    _bpf_routes(routes, control)
    _event_routes(routes, control)

    def contract() -> Application:
        from ringfence.api.contract import describe  # noqa: PLC0415 - imports FastAPI, which few ask for

        return describe(routes)

    return Api(routes, contract)


def _endpoint_routes(app: Routes, control: Control) -> None:
    @app.get("/v1/status")
    async def status() -> shapes.Status:
        return await control.status()

    @app.get("/v1/verify")
    async def verify() -> shapes.Verification:
        return await control.verify()

    @app.get("/v1/endpoints")
    def endpoints() -> list[shapes.EndpointShape]:
        return control.endpoints()

    @app.get("/v1/endpoints/{name:path}")
    def endpoint(name: str) -> shapes.EndpointShape:
        return control.endpoint(name)

    @app.put("/v1/endpoints/{name:path}")
    async def put_endpoint(name: str, request: shapes.EndpointRequest) -> shapes.EndpointShape:
        return await control.put_endpoint(name, request)

    @app.delete("/v1/endpoints/{name:path}")
    async def delete_endpoint(name: str) -> shapes.Revision:
        return await control.delete_endpoint(name)

    @app.get("/v1/identities")
    def identities() -> list[shapes.IdentityShape]:
        return control.identities()

    @app.get("/v1/identities/{number}")
    def identity(number: int) -> shapes.IdentityShape:
        return control.identity(number)


def _policy_routes(app: Routes, control: Control) -> None:
    @app.post("/v1/policies")
    async def apply_policies(request: shapes.ApplyRequest) -> shapes.Applied:
        return await control.apply_policies(request)

    @app.delete("/v1/policies")
    async def delete_policies(request: shapes.PolicyUids) -> shapes.Applied:
        return await control.delete_policies(request["uids"])

    @app.get("/v1/policies")
    def policies() -> list[shapes.PolicyShape]:
        return control.policies()

    @app.get("/v1/policies/{uid:path}")
    def policy(uid: str) -> shapes.PolicyShape:
        return control.policy(uid)


def _bpf_routes(app: Routes, control: Control) -> None:
    @app.get("/v1/bpf/policy")
    async def entries(subject: int | None = None, peer: int | None = None) -> list[shapes.EntryShape]:
        return await control.entries(subject, peer)

    @app.put("/v1/bpf/policy")
    async def set_entry(request: shapes.EntryRequest) -> shapes.Revision:
        return await control.set_entry(request)

    @app.delete("/v1/bpf/policy")
    async def delete_entry(request: shapes.EntryKey) -> shapes.Revision:
        return await control.delete_entry(request)

    @app.get("/v1/bpf/ipcache")
    def ipcache(address: str | None = None) -> list[shapes.IpcacheShape]:
        return control.ipcache(address)

    @app.get("/v1/bpf/ct")
    async def connections() -> list[shapes.ConnectionShape]:
        return await control.connections()

    @app.delete("/v1/bpf/ct")
    async def flush_connections() -> shapes.Flushed:
        return await control.flush_connections()

    @app.get("/v1/bpf/maps")
    async def maps() -> list[shapes.MapShape]:
        return await control.maps()

    @app.get("/v1/bpf/maps/{name}")
    async def bpf_map(name: str) -> shapes.MapDump:
        return await control.map(name)


def _event_routes(app: Routes, control: Control) -> None:
    @app.get("/v1/events")
    def events(
        from_: list[str] | None = None,
        to: list[str] | None = None,
        type: str | None = None,  # noqa: A002 - the name of the query parameter
        port: str | None = None,
    ) -> AsyncIterator[bytes]:
        return control.subscribe(FlowFilter.parse(type, from_ or [], to or [], port))
