"""The routes of the agent's API. Each says what it takes and answers in `shapes`, and hands on to `Control`."""

from __future__ import annotations

import dataclasses
from time import time_ns
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from ringfence.api import flow_shapes, shapes
from ringfence.api.author import KnowAuthor
from ringfence.api.bpf_routes import bpf_routes
from ringfence.api.commit_routes import commit_routes
from ringfence.api.control import Control
from ringfence.api.explaining import ExplainRequest, Explanation
from ringfence.api.nat_routes import nat_routes
from ringfence.api.prefilter_routes import prefilter_routes
from ringfence.api.preview_shapes import PreviewShape
from ringfence.api.service_routes import service_routes
from ringfence.api.staged_routes import staged_routes
from ringfence.api.streams import in_slices, json_lines
from ringfence.api.web import Terms, add_page, add_stream
from ringfence.errors import BadInput, NotFound, RingfenceError, Unavailable
from ringfence.flow.filter import FlowFilter
from ringfence.flow.query import FlowQuery
from ringfence.flow.request import Asked, FlowRequest

_STATUS_OF = {BadInput: 400, NotFound: 404, Unavailable: 503}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": shapes.ErrorShape} for code in (*_STATUS_OF.values(), 409)
}
ByHand = Annotated[bool, Query(description="only entries that were set by hand")]
Interval = Annotated[float, Query(ge=0.05, le=60, description="seconds between two digests")]


def create_app(control: Control) -> FastAPI:
    """The application over one agent."""
    app = FastAPI(title="Ringfence", version="1", responses=_REFUSALS)
    app.add_middleware(KnowAuthor)
    tell_errors(app)
    _endpoint_routes(app, control)
    _config_routes(app, control)
    _policy_routes(app, control)
    _entry_routes(app, control)
    service_routes(app, control)
    prefilter_routes(app, control)
    nat_routes(app, control)
    commit_routes(app, control)
    staged_routes(app, control)
    bpf_routes(app, control)
    _event_routes(app, control)
    _metrics_route(app, control)
    add_stream(app, control)
    add_page(app)
    return app


def tell_errors(app: FastAPI) -> None:
    """Let an application answer what it refuses by status and `ErrorShape`."""
    app.add_exception_handler(RingfenceError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_shape)


async def _refuse(_request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in _STATUS_OF.items() if isinstance(error, kind)), 409)
    problems = [dataclasses.asdict(problem) for problem in getattr(error, "problems", ())]
    return JSONResponse({"error": str(error), "problems": problems}, status)


async def _refuse_shape(_request: Request, error: Exception) -> JSONResponse:
    """A request that does not have the documented shape: one line, each field by its path."""
    assert isinstance(error, RequestValidationError)
    told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return JSONResponse({"error": f"bad request: {told}", "problems": []}, 400)


def _endpoint_routes(app: FastAPI, control: Control) -> None:
    @app.get("/v1/status")
    async def status() -> shapes.Status:
        return await control.status()

    @app.get("/v1/verify")
    async def verify() -> shapes.Verification:
        return await control.verify()

    @app.get("/v1/endpoints")
    async def endpoints() -> list[shapes.EndpointShape]:
        return control.endpoints()

    @app.get("/v1/endpoints/{name:path}")
    async def endpoint(name: str) -> shapes.EndpointShape:
        return control.endpoint(name)

    @app.put("/v1/endpoints/{name:path}")
    async def put_endpoint(name: str, request: shapes.EndpointRequest) -> shapes.EndpointShape:
        return await control.put_endpoint(name, request)

    @app.delete("/v1/endpoints/{name:path}")
    async def delete_endpoint(name: str) -> shapes.Revision:
        return await control.delete_endpoint(name)

    @app.get("/v1/identities")
    async def identities() -> list[shapes.IdentityShape]:
        return control.identities()

    @app.get("/v1/identities/{number}")
    async def identity(number: int) -> shapes.IdentityShape:
        return control.identity(number)


def _config_routes(app: FastAPI, control: Control) -> None:
    @app.patch("/v1/endpoints/{name:path}")
    async def configure_endpoint(name: str, request: shapes.EndpointConfig) -> shapes.EndpointShape:
        return await control.configure_endpoint(name, request)

    @app.get("/v1/config")
    async def config() -> shapes.HostConfig:
        return control.config()

    @app.patch("/v1/config")
    async def configure(request: shapes.HostConfigRequest) -> shapes.HostConfig:
        return control.configure(request)


def _policy_routes(app: FastAPI, control: Control) -> None:
    @app.post("/v1/policies", response_model=shapes.Applied)
    async def apply_policies(request: shapes.ApplyRequest) -> JSONResponse:
        return JSONResponse(await control.apply_policies(request))

    @app.post("/v1/policies/preview")
    async def preview(request: shapes.ApplyRequest) -> PreviewShape:
        return await control.preview(request)

    @app.delete("/v1/policies", response_model=shapes.Applied)
    async def delete_policies(request: shapes.PolicyUids) -> JSONResponse:
        return JSONResponse(await control.delete_policies(request))

    @app.get("/v1/policies")
    async def policies() -> list[shapes.PolicyShape]:
        return control.policies()

    @app.get("/v1/policies/{uid:path}")
    async def policy(uid: str) -> shapes.PolicyShape:
        return control.policy(uid)


def _entry_routes(app: FastAPI, control: Control) -> None:
    # A whole map is not validated row by row on its way out: `response_model` documents it, the response is ready.
    @app.get("/v1/bpf/policy", response_model=list[shapes.EntryShape])
    async def entries(
        subject: int | None = None,
        peer: int | None = None,
        by_hand: ByHand = False,  # noqa: FBT002 - a query parameter
    ) -> StreamingResponse:
        return in_slices(await control.entries(subject, peer, by_hand=by_hand))

    @app.get("/v1/rules")
    async def rules() -> list[shapes.RuleShape]:
        return await control.rules()

    @app.post("/v1/explain")
    async def explain(request: ExplainRequest) -> Explanation:
        return await control.explain(request)

    @app.get("/v1/subjects")
    async def subjects() -> list[shapes.SubjectShape]:
        return await control.subjects()

    @app.put("/v1/bpf/policy")
    async def set_entry(request: shapes.EntryRequest) -> shapes.Revision:
        return await control.set_entry(request)

    @app.delete("/v1/bpf/policy")
    async def delete_entry(key: shapes.EntryKey) -> shapes.Revision:
        return await control.delete_entry(key)

    @app.patch("/v1/bpf/policy")
    async def change_entries(request: shapes.EntriesRequest) -> shapes.Revision:
        return await control.change_entries(request)


def _event_routes(app: FastAPI, control: Control) -> None:
    # `from` is a word of Python's: it needs its alias.
    @app.get("/v1/events", response_class=StreamingResponse)
    async def events(
        from_: Annotated[list[str] | None, Query(alias="from")] = None,
        to: Terms = None,
        type: str | None = None,  # noqa: A002 - the name of the query parameter
        port: str | None = None,
    ) -> StreamingResponse:
        wanted = FlowFilter.parse(type, from_ or [], to or [], port)
        return StreamingResponse(control.subscribe(wanted), media_type="application/x-ndjson")

    @app.get("/v1/flows", response_class=StreamingResponse)
    async def flows(
        request: Annotated[FlowRequest, Depends(_flow_request)], form: flow_shapes.FlowForm = "flow"
    ) -> StreamingResponse:
        return StreamingResponse(await control.flows(request, form), media_type="application/x-ndjson")

    @app.get("/v1/digests", response_class=StreamingResponse)
    async def digests(allow: Terms = None, deny: Terms = None, seconds: Interval = 1.0) -> StreamingResponse:
        found = control.digests(FlowQuery.parse(allow or [], deny or []), seconds)
        return json_lines(found)


def _metrics_route(app: FastAPI, control: Control) -> None:
    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        text, content_type = await control.metrics(accept)
        return Response(text, headers={"content-type": content_type})


def _flow_request(
    allow: Terms = None,
    deny: Terms = None,
    since: str | None = None,
    until: str | None = None,
    last: int | None = None,
    first: int | None = None,
    follow: bool = False,  # noqa: FBT001, FBT002 - a query parameter
) -> FlowRequest:
    asked: Asked = {"since": since, "until": until, "last": last, "first": first}
    return FlowRequest.read(FlowQuery.parse(allow or [], deny or []), asked, time_ns(), follow=follow)
