"""Write docs/policy.md: every field of every kind of document, what becomes of it, and the file that shows it.

Run as `python -m tools.generate_policy_docs`; with `--check` it fails when the page is not current, or when a field has
no spec file and no refusal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ringfence.policy.parse import KINDS
from tools.generated import parser, settle
from tools.policy_notes import IGNORED, NOTES, SHOWN, TITLES
from tools.policy_schema import REFUSED, ROOT, SPEC, Model, SchemaField, Section, Use, sections, shown_by

TARGET: Final = ROOT / "docs" / "policy.md"
_MOST_PLACES: Final = 3
_ELSEWHERE: Final = {"Service", "EndpointSlice"}
"""No policies: docs/services.md says what is read of them."""
_HEAD: Final = """\
<!-- Written by tools/generate_policy_docs.py from the schema; do not edit. -->

# Policies: what each field does

Every field that a document may have is in these tables, and is one of:

- **enforced**: it means here what it means where it comes from; for a manifest of a workload: it is read;
- **refused**: it is understood, but not enforced. Whatever has it is an error that names the line, and nothing of the
  policy is applied;
- **ignored**: it changes no verdict.

A field that is in no table is an error too, but in manifests of workloads (Pod, Namespace, Node), of which only what is
listed here is read. Services have a page of their own, [services.md](services.md). "Shown by" is a file of
`tests/spec` that has the field: it says what is expected of it, and three judges hold to it: the oracle, the compiled
entries and the program in the kernel. A file in `refused/` shows the error.
"""


@dataclass(frozen=True)
class Row:
    """What the page says of a field."""

    name: str
    standing: str
    shown_by: str
    note: str

    def __str__(self) -> str:
        return f"| `{self.name}` | {self.standing} | {self.shown_by} | {self.note} |"


class Kinds:
    """Kinds of document that share a schema."""

    def __init__(self, names: list[str], model: Model) -> None:
        self.names = names
        self.sections = sections(model)
        models = dict.fromkeys(names, model)
        self._specs = shown_by(models, SPEC)
        self._refusals = shown_by(models, REFUSED)

    def row(self, field: SchemaField) -> Row:
        """What the page says of a field of these kinds; ValueError when no file shows it."""
        if field.refused:
            return Row(field.name, "refused", _link(self._chosen(field, self._refusals), REFUSED), field.refused)
        reason = IGNORED.get(field.key) or IGNORED.get(f"{self.names[0]}:{field.key}")
        if field.ignored or reason:
            return Row(field.name, "ignored", "", reason or "")
        note = NOTES.get(f"{self.names[0]}:{field.key}") or NOTES.get(field.key, "")
        return Row(field.name, "enforced", _link(self._chosen(field, self._specs), SPEC), note)

    def _chosen(self, field: SchemaField, files: Mapping[Use, list[str]]) -> str:
        found, wanted = files.get((field.model, field.name), []), SHOWN.get(field.key)
        if wanted in found:
            return str(wanted)
        if not found:
            raise ValueError(f"no spec file shows {self.names[0]}'s {field.key}")
        return found[0]


def kinds() -> list[Kinds]:
    """All kinds, those of one schema together, in the order of the page."""
    by_model: dict[Model, list[str]] = {}
    for name, kind in KINDS.items():
        if name in _ELSEWHERE:
            continue
        by_model.setdefault(kind.model, []).append(name)
    groups = [Kinds(names, model) for model, names in by_model.items()]
    order = list(TITLES)
    return sorted(groups, key=lambda group: order.index(group.names[0]))


def problems() -> list[str]:
    """Fields that no file shows, and annotations that speak of no field."""
    found: list[str] = []
    known: set[str] = set()
    for group in kinds():
        for field in (field for section in group.sections for field in section.fields):
            known |= {field.key, f"{group.names[0]}:{field.key}"}
            try:
                group.row(field)
            except ValueError as error:
                found.append(str(error))
    found += [f"a note on {key}, which no kind has" for key in {*NOTES, *IGNORED, *SHOWN} - known]
    return sorted(found)


def page() -> str:
    """The whole page. Raises ValueError for a field that no file shows."""
    return "\n".join([_HEAD, *(line for group in kinds() for line in _chapter(group))]) + "\n"


def _chapter(group: Kinds) -> Iterator[str]:
    yield f"## {' and '.join(group.names)}\n"
    yield f"{TITLES[group.names[0]]} {_versions(group.names)}\n"
    for section in group.sections:
        yield from _table(group, section)


def _versions(names: list[str]) -> str:
    kind = KINDS[names[0]]
    outdated = f"; {', '.join(f'`{each}`' for each in kind.outdated)} with a warning" if kind.outdated else ""
    return f"`apiVersion`: {', '.join(f'`{each}`' for each in kind.versions)}{outdated}."


def _table(group: Kinds, section: Section) -> Iterator[str]:
    if section.places[0]:
        places = [f"`{place}`" for place in section.places[:_MOST_PLACES]]
        more = f" and {len(section.places) - _MOST_PLACES} more" if len(section.places) > _MOST_PLACES else ""
        yield f"### {', '.join(places)}{more}\n"
    yield "| field | standing | shown by | |"
    yield "|---|---|---|---|"
    for field in section.fields:
        yield str(group.row(field))
    yield ""


def _link(name: str, directory: Path) -> str:
    inside = directory.relative_to(SPEC.parent.parent)
    label = name if directory == SPEC else f"{directory.name}/{name}"
    return f"[{label}](../{inside}/{name}.yaml)"


def main() -> int:
    """Write the page, or with --check compare. Exit code 1 when it is not current or a field is not shown."""
    options = parser(__doc__).parse_args()
    found = problems()
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    return settle([(TARGET, page())], check=options.check)


if __name__ == "__main__":
    sys.exit(main())
