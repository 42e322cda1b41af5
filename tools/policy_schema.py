"""The fields of every kind of document, as the schema has them, and the spec files that use each.

A section stands for one mapping of a kind's documents, wherever in them it occurs. What the schema refuses is known
from the schema; what nothing looks at is of no type in it. Which field a spec file uses is read from the file itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from ringfence.policy.schema import refused

ROOT: Final = Path(__file__).parents[1]
SPEC: Final = ROOT / "tests" / "spec"
REFUSED: Final = SPEC / "refused"

Model = type[BaseModel]
#: A mapping's model and the name of one of its fields.
Use = tuple[Model, str]


@dataclass(frozen=True)
class SchemaField:
    """A field of a mapping."""

    model: Model
    name: str
    info: FieldInfo

    @property
    def key(self) -> str:
        """How annotations call it."""
        return f"{self.model.__name__.lstrip('_')}.{self.name}"

    @property
    def refused(self) -> str:
        """What the field asks for, if it is refused by name; else an empty text."""
        for each in self.info.metadata:
            if isinstance(each, BeforeValidator) and each.func.__qualname__.startswith(f"{refused.__name__}."):
                return str(inspect.getclosurevars(each.func).nonlocals["what"])
        return ""

    @property
    def ignored(self) -> bool:
        """Whether nothing is asked of its value."""
        return self.info.annotation is Any and not self.info.metadata and not self.info.is_required()

    @property
    def nested(self) -> tuple[Model, str] | None:
        """The model of the mappings in it, and `[]` if they are in a list."""
        return _nested(self.info.annotation)


@dataclass
class Section:
    """One kind of mapping, with the places where a document has it."""

    model: Model
    fields: list[SchemaField]
    places: list[str] = field(default_factory=list)


def _nested(annotation: Any) -> tuple[Model, str] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    for inner in get_args(annotation):
        found = _nested(inner)
        if found:
            in_list = getattr(annotation, "__origin__", None) is list
            return found[0], "[]" if in_list else found[1]
    return None


def fields_of(model: Model) -> list[SchemaField]:
    """The fields of a mapping in the order of the schema, under the names that people write."""
    return [SchemaField(model, str(info.alias or name), info) for name, info in model.model_fields.items()]


def sections(root: Model) -> list[Section]:
    """All mappings of a document, from the outside in, each once."""
    found: dict[Model, Section] = {}
    waiting: list[tuple[Model, str]] = [(root, "")]
    while waiting:
        model, place = waiting.pop(0)
        known = found.get(model)
        if known is None:
            known = found[model] = Section(model, fields_of(model))
            for each in known.fields:
                if each.nested:
                    inner, brackets = each.nested
                    waiting.append((inner, f"{place}.{each.name}{brackets}".lstrip(".")))
        known.places.append(place)
    return list(found.values())


def uses(model: Model, data: object) -> Iterator[Use]:
    """The fields that a document sets to something."""
    if not isinstance(data, Mapping):
        return
    for each in fields_of(model):
        if each.name not in data:
            continue
        yield model, each.name
        if each.nested:
            value = data[each.name]
            for item in value if isinstance(value, list) else [value]:
                yield from uses(each.nested[0], item)


@cache
def _documents(directory: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        path.stem: list(yaml.load_all(path.read_text("utf-8"), yaml.CSafeLoader))
        for path in sorted(directory.glob("*.yaml"))
    }


def shown_by(kinds: Mapping[str, Model], directory: Path) -> dict[Use, list[str]]:
    """For each field of some kinds the files that use it, those that use the fewest fields first."""
    found: dict[Use, list[tuple[int, str]]] = {}
    for name, documents in _documents(directory).items():
        used = {use for each in documents if each["kind"] in kinds for use in uses(kinds[each["kind"]], each)}
        for use in used:
            found.setdefault(use, []).append((len(used), name))
    return {use: [name for _, name in sorted(names)] for use, names in found.items()}
