"""`ringfence flows info`: what there is of a history."""

from __future__ import annotations

from pathlib import Path

import click

from ringfence.cli.flows_history import directory_option, place
from ringfence.cli.output import output_option, print_json, print_record
from ringfence.cli.session import Session, pass_session
from ringfence.errors import NotFound, Unavailable


@click.command()
@directory_option
@output_option()
@pass_session
def info(session: Session, *, directory: Path | None, output: str) -> None:
    """Show how many flows were recorded, from when to when, and how much they take."""
    where = place(session, directory)
    from ringfence.flow.format import moment_text  # noqa: PLC0415 - imports numpy, which --help needs not
    from ringfence.history.overview import overview  # noqa: PLC0415 - comes with an extra, and is slow to import

    try:
        found = overview(where)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no history of flows in {where}") from error
    except PermissionError as error:
        raise Unavailable(f"the history in {where} is open to its owner only; run this with sudo") from error
    document = {
        "directory": str(where),
        "segments": found.segments,
        "flows": found.rows,
        "bytes": found.bytes,
        "oldest": None if found.oldest is None else moment_text(found.oldest),
        "newest": None if found.newest is None else moment_text(found.newest),
        "put_aside": found.put_aside,
    }
    print_json(document) if output == "json" else print_record(
        {name.replace("_", " ").capitalize(): value for name, value in document.items()}
    )
