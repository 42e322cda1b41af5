"""Routes: functions whose parameters are what a request carries, found by method and path.

A parameter named in the path (`{name}`, `{name:path}` with slashes) comes from there, one called `request` is the body,
any other is of the query; a word of Python's has an underscore behind it. What annotations say is checked by pydantic.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar, get_origin, get_type_hints
from urllib.parse import parse_qs

from pydantic import TypeAdapter, ValidationError

from ringfence.errors import BadInput, NotFound

BODY: Final = "request"
_PLACE: Final = re.compile(r"\{(\w+)(:path)?\}")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a route's function. `source` is path, query or body; `name` the one in requests."""

    argument: str
    source: str
    name: str
    annotation: Any
    required: bool
    adapter: TypeAdapter[Any]

    @property
    def several(self) -> bool:
        """Whether it may be given more than once."""
        return any(get_origin(part) is list for part in getattr(self.annotation, "__args__", ()))


class Route:
    """A function at a method and path."""

    def __init__(self, method: str, path: str, function: Callable[..., Any]) -> None:
        self.method, self.path, self.function = method, path, function
        hints = get_type_hints(function)
        self.answer = hints.pop("return")
        places = {name for name, _ in _PLACE.findall(path)}
        signature = inspect.signature(function).parameters
        self.parameters = [_parameter(signature[name], hint, places) for name, hint in hints.items()]
        self._pattern = re.compile(_PLACE.sub(lambda place: f"(?P<{place[1]}>{'.+' if place[2] else '[^/]+'})", path))

    @cached_property
    def is_plain(self) -> bool:
        """Whether the path has no place in it: the path is all there is to look for."""
        return not self._pattern.groups

    def places(self, path: str) -> dict[str, str] | None:
        """What stands in the places of a path; None for a path that is another route's."""
        found = self._pattern.fullmatch(path)
        return found.groupdict() if found else None

    def arguments(self, places: Mapping[str, str], query: bytes, body: bytes) -> dict[str, Any]:
        """The function's arguments. Raises `BadInput`, one line that names every field that is wrong."""
        given = parse_qs(query.decode("latin-1")) if query else {}
        found: dict[str, Any] = {}
        wrong: list[str] = []
        for parameter in self.parameters:
            try:
                value = _value(parameter, places, given, body)
                if value is not None or parameter.required:
                    found[parameter.argument] = parameter.adapter.validate_python(value)
            except ValidationError as error:
                wrong += [_told(parameter, dict(each)) for each in error.errors()]
            except json.JSONDecodeError as error:
                wrong.append(f"body: {error}")
        if wrong:
            raise BadInput(f"bad request: {'; '.join(wrong)}")
        return found


def _parameter(found: inspect.Parameter, hint: Any, places: set[str]) -> Parameter:
    source = "path" if found.name in places else "body" if found.name == BODY else "query"
    required = found.default is inspect.Parameter.empty
    return Parameter(found.name, source, found.name.rstrip("_"), hint, required, TypeAdapter(hint))


def _value(parameter: Parameter, places: Mapping[str, str], query: Mapping[str, list[str]], body: bytes) -> Any:
    if parameter.source == "path":
        return places[parameter.name]
    if parameter.source == "body":
        return json.loads(body or b"null")
    values = query.get(parameter.name)
    return values if values is None or parameter.several else values[-1]


def _told(parameter: Parameter, error: Mapping[str, Any]) -> str:
    where = (parameter.source, *(() if parameter.source == "body" else (parameter.name,)), *error["loc"])
    return f"{'.'.join(map(str, where))}: {error['msg']}"


class Routes:
    """All routes, in the order in which they were given: the first that fits is meant."""

    def __init__(self) -> None:
        self._all: list[Route] = []
        self._plain: dict[tuple[str, str], Route] = {}

    def __iter__(self) -> Iterator[Route]:
        return iter(self._all)

    def get(self, path: str) -> Callable[[Function], Function]:
        """A route that changes nothing."""
        return self._at("GET", path)

    def put(self, path: str) -> Callable[[Function], Function]:
        """A route that sets what the path names."""
        return self._at("PUT", path)

    def post(self, path: str) -> Callable[[Function], Function]:
        """A route that adds."""
        return self._at("POST", path)

    def delete(self, path: str) -> Callable[[Function], Function]:
        """A route that takes away."""
        return self._at("DELETE", path)

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route of a request and what stands in its path. Raises `NotFound`."""
        plain = self._plain.get((method, path))
        if plain is not None:
            return plain, {}
        for route in self._all:
            places = route.places(path) if route.method == method else None
            if places is not None:
                return route, places
        raise NotFound(f"there is no {method} {path}")

    def _at(self, method: str, path: str) -> Callable[[Function], Function]:
        def note(function: Function) -> Function:
            route = Route(method, path, function)
            self._all.append(route)
            if route.is_plain:
                self._plain[method, path] = route
            return function

        return note
