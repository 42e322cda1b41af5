"""Recorded flows as commands read them: of files, of the standard input, and of the agent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from ringfence.cli.session import Session
from ringfence.errors import BadInput, Problem

Flow = TypeVar("Flow")


def of_file(lines_of: Callable[[str, Iterable[str]], Iterator[Flow]], name: str) -> Iterator[Flow]:
    """The flows of a file, or of `-`, read as they are needed: a recording may be larger than the memory.

    `lines_of` reads a text under its name. Raises BadInput for what is no readable file.
    """
    if name == "-":
        yield from lines_of("<stdin>", sys.stdin)
        return
    try:
        with Path(name).open(encoding="utf-8") as lines:
            yield from lines_of(name, lines)
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror or str(error) if isinstance(error, OSError) else "not UTF-8"
        raise BadInput([Problem(name, 1, 1, found, "a readable UTF-8 file")]) from error


@contextmanager
def of_the_agent(
    session: Session, read: Callable[[Any, str], Flow], *, since: str | None, follow: bool = False
) -> Iterator[Iterator[Flow]]:
    """The agent's flows from a time on. `read` makes something of a document, given its time."""
    from ringfence.cli.connection import connect  # noqa: PLC0415 - its HTTP client is slow to import

    asked: Any = {"since": since, "until": None, "last": None, "first": None}
    with connect(session) as client, client.flows(asked=asked, follow=follow, form="hubble") as flows:
        yield _told(read, flows)


def _told(read: Callable[[Any, str], Flow], flows: Iterator[Any]) -> Iterator[Flow]:
    for document in flows:
        if "newest_only" in document:
            click.echo(
                f"only the newest {document['newest_only']} flows are known; a shorter --since is whole", err=True
            )
        elif "lost" in document:
            click.echo(f"{document['lost']} flows were lost", err=True)
        elif "flow" in document:
            yield read(document, str(document["time"]))
