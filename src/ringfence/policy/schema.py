"""The schema: the pieces that documents of several kinds are made of, and how a fault becomes a problem with a place.

A field that is known but not enforced is refused by name, never passed over: a policy that means more than is enforced
would protect less than its author believes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from ringfence.errors import Problem
from ringfence.identity.prefixes import Address, Network, inside
from ringfence.labels import PORT_SOURCE
from ringfence.policy.document import Document, Path
from ringfence.selector import CIDR_SOURCE, requirement_key

FLAW: Final = "flaw"
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
_EXPECTED: Final = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "true or false",
    "int_type": "a whole number",
}
_BOUNDS: Final = {"min_length": "a length from", "max_length": "a length up to", "ge": "at least", "le": "at most"}


class Closed(BaseModel):
    """A mapping all of whose fields are known. What else stands in it is a fault."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class Open(BaseModel):
    """A mapping of which some fields matter here."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, alias_generator=to_camel)


def flaw(found: str, expected: str, path: Path = ()) -> PydanticCustomError:
    """A fault to raise in a validator, at a path relative to what is validated."""
    return PydanticCustomError(FLAW, "flaw", {"flaws": [(tuple(path), found, expected)]})


def flaws(found: Iterable[tuple[Path, str, str]]) -> PydanticCustomError:
    """Several faults at once."""
    return PydanticCustomError(FLAW, "flaw", {"flaws": [(tuple(path), what, wanted) for path, what, wanted in found]})


def refused(what: str, *, peers: bool = False) -> BeforeValidator:
    """Marks a field that is understood but not enforced; what it asks for in words.

    Empty, it asks for nothing; but an empty list of `peers` names nobody, where its absence would name everybody.
    """

    def check(value: object) -> None:
        if value is not None and (peers or value not in ([], {})):
            raise PydanticCustomError("refused", "refused", {"what": what})

    return BeforeValidator(check)


def not_enforced(what: str, instead: str) -> PydanticCustomError:
    """A value to raise in a validator that is understood but not enforced."""
    return flaw(f"{what}, which Ringfence does not enforce", f"{instead}; nothing of this policy is applied")


def read_network(value: object) -> Network:
    """A prefix, or one address; bits behind the prefix are ignored, as Kubernetes does."""
    try:
        return ip_network(value, strict=False) if isinstance(value, str) else _no_network(value)
    except ValueError:
        return _no_network(value)


def _no_network(value: object) -> Network:
    raise flaw(_describe(value), "a prefix such as 10.0.0.0/8 or fd00::/8")


def read_address(value: object) -> Address:
    """One address."""
    try:
        if isinstance(value, str):
            return ip_address(value)
    except ValueError:
        pass
    raise flaw(_describe(value), "an IP address")


def read_name(value: object) -> str:
    """A name as Kubernetes gives them to objects."""
    if isinstance(value, str) and _NAME.match(value):
        return value
    raise flaw(_describe(value), "a name of lower case letters, digits, '-' and '.'")


Cidr = Annotated[Any, BeforeValidator(read_network)]
Ip = Annotated[Any, BeforeValidator(read_address)]
Name = Annotated[str, BeforeValidator(read_name)]


def read_excepts(excepts: list[Network] | None, info: ValidationInfo) -> list[Network] | None:
    """Exceptions lie inside the prefix that they are taken from, the field `cidr` before them."""
    cidr = info.data.get("cidr")
    outside = [] if cidr is None else [(i, each) for i, each in enumerate(excepts or []) if not inside(each, cidr)]
    if outside:
        raise flaws(([i], f"except {each}", f"a prefix inside {cidr}") for i, each in outside)
    return excepts


Excepts = Annotated[list[Cidr] | None, AfterValidator(read_excepts), Field(alias="except")]


class Metadata(Closed):
    """What every object of Kubernetes says of itself."""

    name: Name
    namespace: Name | None = None
    labels: dict[str, str] | None = None
    annotations: Any = None
    uid: Any = None
    resource_version: Any = None
    generation: Any = None
    generate_name: Any = None
    self_link: Any = None
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    managed_fields: Any = None
    owner_references: Any = None
    finalizers: Any = None


class Expression(Closed):
    """One of `matchExpressions`."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None

    @model_validator(mode="after")
    def _values_fit(self) -> Expression:
        needed = self.operator in {"In", "NotIn"}
        if needed and not self.values:
            raise flaw(f"{self.operator} without values", "at least one value", ["operator"])
        if not needed and self.values:
            raise flaw(f"values for {self.operator}", "none: it asks whether the key is there", ["values"])
        _check_key(self.key, ["key"])
        return self


class LabelSelector(Closed):
    """`matchLabels` and `matchExpressions`; all of them must hold."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None

    @model_validator(mode="after")
    def _keys_are_keys(self) -> LabelSelector:
        for key in self.match_labels or {}:
            _check_key(key, ["matchLabels", key])
        return self


def _check_key(written: str, path: Path) -> None:
    source, key = requirement_key(written)
    if not key or not source or source == PORT_SOURCE:
        raise flaw(f"label key {written!r}", "key or source:key", path)
    if source == CIDR_SOURCE:
        try:
            ip_network(key)
        except ValueError:
            raise flaw(f"label key {written!r}", "cidr: with a prefix behind it", path) from None


def validation_problems(
    document: Document, base: Path, model: type[BaseModel], error: ValidationError
) -> list[Problem]:
    """What pydantic found, each with its place in the file. `base` is where in the document the model stands."""
    found = []
    for each in error.errors(include_url=False):
        found.extend(_problems_of(document, base, model, each))
    return found


def _problems_of(document: Document, base: Path, model: type[BaseModel], error: ErrorDetails) -> list[Problem]:
    inner = error["loc"]
    path = (*base, *inner)
    name = str(inner[-1]) if inner else ""
    if error["type"] == FLAW:
        return [document.problem((*path, *at), found, expected) for at, found, expected in error["ctx"]["flaws"]]
    if error["type"] == "refused":
        found = f"{name} ({error['ctx']['what']}), which Ringfence does not enforce"
        return [document.problem(path, found, "a policy without it; nothing of this policy is applied", key=True)]
    if error["type"] == "extra_forbidden":
        found = f"unknown field {name!r}{_within(inner[:-1])}"
        return [document.problem(path, found, _fields(model, inner[:-1], name), key=True)]
    if error["type"] == "missing":
        return [document.problem(path[:-1], f"no {name!r}{_within(inner[:-1])}", f"the field {name}")]
    return [document.problem(path, f"{_describe(error['input'])}{_within(inner)}", _expected(error))]


def _expected(error: ErrorDetails) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    for bound, words in _BOUNDS.items():
        if bound in error.get("ctx", {}):
            return f"{words} {error['ctx'][bound]}"
    expected = _EXPECTED.get(error["type"], error["msg"])
    quoted = error["type"] == "string_type" and isinstance(error["input"], (int, float))
    return f"{expected} (put it in quotes)" if quoted else expected


def _describe(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"{value[:60]!r}"
    return "a list" if isinstance(value, list) else "a mapping"


def _within(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f" in {text.lstrip('.')}" if text else ""


def _fields(model: type[BaseModel], path: Path, name: str) -> str:
    """What could stand there: the field most like the one written, or all."""
    here = _model_at(model, path)
    if here is None:
        return "no field here"
    names = [field.alias or name for name, field in here.model_fields.items()]
    close = difflib.get_close_matches(name, names, n=1)
    return f"{close[0]}" if close else f"one of {', '.join(sorted(names))}"


def _model_at(model: type[BaseModel] | None, path: Path) -> type[BaseModel] | None:
    for step in path:
        if model is not None and isinstance(step, str):
            fields: Mapping[str, Any] = {field.alias or name: field for name, field in model.model_fields.items()}
            model = _model_in(fields[step].annotation) if step in fields else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {list, Union, UnionType, Annotated}:
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None
