"""`ringfence prefilter add | delete | list | replace`: sources that are dropped at the uplink before anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.session import Session, pass_session
from ringfence.cli.sources import read

if TYPE_CHECKING:
    from ringfence.api.prefilter_shapes import PrefilterShape, PrefixesChanged

# A million prefixes take the kernel some seconds.
_PATIENCE_SECONDS = 600.0
EVERYTHING = click.option("--everything", is_flag=True, help="Let a prefix be every address of its family.")
PREFIXES = click.argument("prefixes", nargs=-1, required=True, metavar="PREFIX...")


@click.group()
def prefilter() -> None:
    """Sources that are dropped by XDP at the uplinks (`ringfence agent --uplink`), before the kernel looks at them."""


@prefilter.command()
@PREFIXES
@EVERYTHING
@output_option()
@pass_session
def add(session: Session, *, prefixes: tuple[str, ...], everything: bool, output: str) -> None:
    """Drop these sources too. An address alone is itself."""
    with connect(session, _PATIENCE_SECONDS) as client:
        changed = client.add_prefixes(prefixes, everything=everything)
        _show(changed, "added", "there already", output, client.prefilter())


@prefilter.command()
@PREFIXES
@output_option()
@pass_session
def delete(session: Session, *, prefixes: tuple[str, ...], output: str) -> None:
    """Drop these no more."""
    with connect(session, _PATIENCE_SECONDS) as client:
        changed = client.delete_prefixes(prefixes)
        _show(changed, "deleted", "not there", output, None)


@prefilter.command()
@click.argument("path", metavar="FILE")
@EVERYTHING
@output_option()
@pass_session
def replace(session: Session, *, path: str, everything: bool, output: str) -> None:
    """Drop exactly the prefixes of a file, from one packet to the next: one a line, # begins a comment; - is stdin.

    A line that is no prefix is an error, and the list in force stays as it is.
    """
    [source] = read([path])
    lines = source.text.count("\n")
    if lines >= 100_000:
        click.echo(f"{lines} lines: this takes some seconds", err=True)
    with connect(session, _PATIENCE_SECONDS) as client:
        changed = client.replace_prefixes(source.name, source.text, everything=everything)
        _show(changed, "in force", "", output, client.prefilter())


@prefilter.command("list")
@click.argument("address", required=False)
@output_option()
@pass_session
def list_prefixes(session: Session, *, address: str | None, output: str) -> None:
    """List the prefixes with what each has dropped, the busiest first; with ADDRESS those that it is in."""
    with connect(session, _PATIENCE_SECONDS) as client:
        found, whole = client.prefixes(address), client.prefilter()
    if output == "json":
        print_json({**whole, "listed": found})
        return
    rows = ((each["prefix"], each["packets"], each["bytes"]) for each in found)
    print_table(("PREFIX", "PACKETS", "BYTES"), rows, right=("PACKETS", "BYTES"))
    _tell_uplinks(whole)


def _show(changed: PrefixesChanged, word: str, otherwise: str, output: str, whole: PrefilterShape | None) -> None:
    if output == "json":
        print_json(changed)
        return
    rest = f", {changed['unchanged']} {otherwise}" if changed["unchanged"] else ""
    count = changed["changed"]
    click.echo(f"{count} {'prefix' if count == 1 else 'prefixes'} {word}{rest}")
    if whole:
        _tell_uplinks(whole)


def _tell_uplinks(whole: PrefilterShape) -> None:
    if not whole["uplinks"]:
        click.echo("warning: no uplink, so nothing is dropped: start the agent with --uplink INTERFACE", err=True)
    for each in whole["uplinks"]:
        told = each["problem"] or f"{each['mode']} XDP"
        click.echo(f"{'warning: ' if each['problem'] else ''}uplink {each['name']}: {told}", err=True)
