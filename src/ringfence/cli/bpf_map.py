"""`ringfence bpf map`: every map, how full it is, its elements, its changes, and an element changed by hand."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import named, numbers_option, output_option, print_json, print_line, print_table
from ringfence.cli.session import Session, pass_session
from ringfence.errors import BadInput

if TYPE_CHECKING:
    from ringfence.api.inspected import ElementChanged

NAME = click.argument("name")
# `subject_labels` stands beside `subject` where a field holds an identity.
NAMES = "_labels"
WORD = re.compile(r"(\w+)=(\S+)")
WARNING = (
    "warning: the agent did not make this change and does not keep it: `ringfence status --verify` reports it as drift "
    "where it differs from what the policies call for, and the next change of the same element goes over it"
)


@click.group("map")
def maps() -> None:
    """Every map, decoded by the layouts generated from the BPF object."""


@maps.command("list")
@output_option()
@pass_session
def list_maps(session: Session, output: str) -> None:
    """List the maps, how full they are, and how many writes failed."""
    with connect(session) as client:
        found = client.maps()
    if output == "json":
        print_json(found)
        return
    columns = ("NAME", "TYPE", "ENTRIES", "MAX ENTRIES", "PRESSURE", "ERRORS", "KEY BYTES", "VALUE BYTES")
    rows = (
        (
            shape["name"],
            shape["type"],
            shape["entries"],
            shape["max_entries"],
            None if shape["pressure"] is None else f"{shape['pressure']:.1%}",
            shape["errors"],
            shape["key_bytes"],
            shape["value_bytes"],
        )
        for shape in found
    )
    print_table(columns, rows, right=columns[2:])


@maps.command()
@NAME
@output_option()
@numbers_option
@pass_session
def dump(session: Session, *, name: str, output: str, numeric: bool) -> None:
    """Show the elements of a map; of an array, those that are not all zero."""
    with connect(session) as client:
        answer = client.map(name)
    if output == "json":
        print_json(answer)
        return
    rows = ((_element(row["key"], numeric=numeric), _element(row["value"], numeric=numeric)) for row in answer["rows"])
    print_table(("KEY", "VALUE"), rows)


@maps.command()
@NAME
@click.option("-f", "--follow", is_flag=True, help="Go on with every later change. Ctrl-C ends it.")
@output_option()
@pass_session
def events(session: Session, *, name: str, follow: bool, output: str) -> None:
    """Show the last changes that the agent made to policy, ipcache or endpoints: key, value, when, what led to them.

    What is written by hand with `bpf map set` and `bpf map delete` is shown for every map of these.
    """
    with connect(session) as client, client.map_changes(name, follow=follow) as changes:
        for change in changes:
            if output == "json":
                print_line(change)
            else:
                click.echo(_change(change))


@maps.command("set")
@NAME
@click.argument("key")
@click.argument("value")
@output_option()
@pass_session
def set_element(session: Session, *, name: str, key: str, value: str, output: str) -> None:
    """Write an element by hand, past everything that the agent knows: a tool for looking into trouble.

    KEY and VALUE are written as `dump` shows them: a number, a text, `field=value` words, or JSON. Fields of VALUE that
    are not given stay as they are. Rules are better set by `ringfence bpf policy set`, which the agent knows of.
    """
    asked = _parsed(key), _parsed(value)
    with connect(session) as client:
        _show_change(client.write_element(name, *asked), output)


@maps.command("delete")
@NAME
@click.argument("key")
@output_option()
@pass_session
def delete_element(session: Session, *, name: str, key: str, output: str) -> None:
    """Delete an element by hand, past everything that the agent knows: a tool for looking into trouble."""
    asked = _parsed(key)
    with connect(session) as client:
        _show_change(client.delete_element(name, asked), output)


def _show_change(changed: ElementChanged, output: str) -> None:
    click.echo(WARNING, err=True)
    if output == "json":
        print_json(changed)
        return
    key, before, after = (_element(changed[part], numeric=False) for part in ("key", "before", "after"))
    click.echo(f"{changed['map']}: {key}\n  before: {before}\n  after:  {after}")


def _parsed(text: str) -> Any:
    """JSON, `field=value` words, or a plain text. Raises `BadInput` for words of which some are no `field=value`."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    if "=" not in text:
        return text
    words = text.split()
    pairs = [WORD.fullmatch(word) for word in words]
    wrong = next((word for word, pair in zip(words, pairs, strict=True) if pair is None), None)
    if wrong is not None:
        raise BadInput(f"{wrong!r} is no field=value")
    return {pair[1]: _parsed(pair[2]) for pair in pairs if pair}


def _change(change: Any) -> str:
    if "lost" in change:
        return f"({change['lost']} commits were lost: this reader is too slow)"
    value = "" if change["value"] is None else f" value={json.dumps(change['value'], ensure_ascii=False)}"
    because = json.dumps("; ".join(change["because"]), ensure_ascii=False)
    key = json.dumps(change["key"], ensure_ascii=False)
    return f"{change['time']} {change['action']} key={key}{value} revision={change['revision']} because={because}"


def _element(value: object, *, numeric: bool) -> str:
    if not isinstance(value, dict):
        return _plain(value)
    shown = []
    for field, inner in value.items():
        if not field.endswith(NAMES):
            names = value.get(field + NAMES, [])
            shown.append(f"{field}={named(inner, names, numeric=numeric) if names else _plain(inner)}")
    return " ".join(shown)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else "-" if value is None else json.dumps(value)
