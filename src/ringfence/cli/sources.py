"""Sources: the files, directories and standard input that a command names, read into texts with names."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ringfence.errors import BadInput, Problem

ENDINGS = (".yaml", ".yml", ".json")


class Text(NamedTuple):
    """A file's content under the name that messages call it by."""

    name: str
    text: str


def read(paths: Iterable[str]) -> list[Text]:
    """Read files, the YAML and JSON files of directories (in order of their names), and `-`, the standard input.

    BadInput names every path that cannot be read, all at once.
    """
    texts: list[Text] = []
    problems: list[Problem] = []
    for path in paths:
        for name in _files(path, problems):
            try:
                texts.append(Text(name, sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")))
            except (OSError, UnicodeDecodeError) as error:
                problems.append(_problem(name, _reason(error), "a readable UTF-8 file"))
    if problems:
        raise BadInput(problems)
    return [Text("<stdin>" if name == "-" else name, text) for name, text in texts]


def _files(path: str, problems: list[Problem]) -> Iterator[str]:
    if path == "-" or not Path(path).is_dir():
        yield path
        return
    files = sorted(str(file) for file in Path(path).rglob("*") if file.suffix in ENDINGS and file.is_file())
    if not files:
        problems.append(
            _problem(path, "a directory without YAML or JSON files", f"files ending in {', '.join(ENDINGS)}")
        )
    yield from files


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else f"not UTF-8 at byte {error.start}"


def _problem(name: str, found: str, expected: str) -> Problem:
    return Problem(name, 1, 1, found, expected)
