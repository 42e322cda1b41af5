"""`ringfence flows export`: flows of the history as one file that other programs read."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ringfence.cli.flows_history import between, directory_option, place, times_options
from ringfence.cli.session import Session, pass_session
from ringfence.errors import BadInput, RingfenceError

FORMS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER", "json": "FORMAT json"}

# Text has times as everywhere, to the microsecond.
TIME = "strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(list(FORMS)), help="JSON is an object a line.  [default: by FILE's name]"
)
@times_options
@directory_option
@pass_session
def export(
    session: Session, *, file: Path, form: str | None, since: int | None, until: int | None, directory: Path | None
) -> None:
    """Write flows to FILE, oldest first, which is there when it is whole."""
    where = place(session, directory)
    form = form or file.suffix[1:]
    if form not in FORMS:
        raise BadInput(f"the name {file.name} does not tell the format: say --format {'|'.join(FORMS)}")
    if not file.parent.is_dir():
        raise BadInput(f"there is no directory {file.parent}")
    half = (file.parent / f".{file.name}.{os.getpid()}").absolute()
    try:
        count = _write(where, half, form, since, until)
        half.replace(file)
    except OSError as error:
        raise RingfenceError(f"cannot write {file}: {error.strerror}") from error
    finally:
        half.unlink(missing_ok=True)
    click.echo(f"{count} flows written to {file}", err=True)


def _write(where: Path, half: Path, form: str, since: int | None, until: int | None) -> int:
    from ringfence.history.database import opened  # noqa: PLC0415 - comes with an extra, and is slow to import

    condition, parameters = between(since, until)
    with opened(where, since=since, until=until, copy_to=half) as database:
        columns = "*" if form == "parquet" else f"* REPLACE ({TIME} AS time)"
        chosen = f"SELECT {columns} FROM flows WHERE {condition}"  # noqa: S608 - put together of constants
        return database.copy(chosen, parameters, half, FORMS[form])
