"""The contract: OpenAPI and its pages, made by FastAPI from the same routes that answer requests. It answers none."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, get_origin

from fastapi import Body, FastAPI, Path, Query
from fastapi.responses import JSONResponse, StreamingResponse

from ringfence.api import shapes
from ringfence.api.routes import Parameter, Route, Routes

_REFUSALS: dict[int | str, dict[str, Any]] = {code: {"model": shapes.ErrorShape} for code in (400, 404, 409, 503)}
_SOURCES: dict[str, Callable[..., Any]] = {"path": Path, "query": Query, "body": Body}


def describe(routes: Routes) -> FastAPI:
    """An application that serves /openapi.json, /docs and /redoc of these routes."""
    app = FastAPI(title="Ringfence", version="1", responses=_REFUSALS)
    for route in routes:
        streams = get_origin(route.answer) is AsyncIterator
        app.add_api_route(
            route.path,
            _described(route),
            methods=[route.method],
            summary=route.function.__name__.replace("_", " "),
            response_model=None if streams else route.answer,
            response_class=StreamingResponse if streams else JSONResponse,
        )
    return app


def _described(route: Route) -> Callable[..., Any]:
    """A function with the route's signature, said in FastAPI's words."""

    def described() -> None:
        """Nobody calls it."""

    described.__name__, described.__doc__ = route.function.__name__, route.function.__doc__
    parameters = [_said(parameter) for parameter in route.parameters]
    described.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what inspect.signature reads
    return described


def _said(parameter: Parameter) -> inspect.Parameter:
    # A path's place is called as the path calls it; elsewhere the name of requests need not be the argument's.
    alias = None if parameter.source == "path" else parameter.name
    default = _SOURCES[parameter.source](... if parameter.required else None, alias=alias)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(parameter.argument, kind, default=default, annotation=parameter.annotation)
