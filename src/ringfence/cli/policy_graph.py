"""`ringfence policy graph`: who reaches whom as a picture, without an agent and without root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click

from ringfence.cli.narrowing import narrowing_options, reach_of
from ringfence.errors import RingfenceError
from ringfence.policy.drawing import FORMS, Form


@click.command("graph")
@narrowing_options
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice([*FORMS, "json"]),
    default="svg",
    show_default=True,
    help="Form of the output.",
)
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Write it there.  [default: stdout]")
@click.option("--defaults", is_flag=True, help="Draw also what gets through because nothing isolates either end.")
def graph(*, form: Form | Literal["json"], file: Path | None, defaults: bool, **asked: Any) -> None:
    """Draw who reaches whom by the policies of FILEs, or of the agent without any, on which ports.

    Nodes are groups of workloads that no policy tells apart, entities, and the outside. A dashed border is a workload
    that is not isolated. What gets through by default alone is not drawn but with --defaults; json has it always.
    """
    found = reach_of(asked)
    if form == "json":
        text = json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n"
    else:
        text = FORMS[form](found, defaults=defaults)
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RingfenceError(f"cannot write {file}: {error.strerror}") from error
