"""`ringfence identity`: the numbers that stand for sets of labels in the kernel."""

from __future__ import annotations

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import labels, output_option, print_json, print_record, print_table
from ringfence.cli.session import Session, pass_session


@click.group()
def identity() -> None:
    """Identities: one number per set of labels; what the datapath compares."""


@identity.command("list")
@output_option()
@pass_session
def list_identities(session: Session, output: str) -> None:
    """List all identities in use."""
    with connect(session) as client:
        identities = client.identities()
    if output == "json":
        print_json(identities)
    else:
        print_table(("ID", "LABELS"), ((found["id"], labels(found["labels"])) for found in identities), right=("ID",))


@identity.command()
@click.argument("number", type=click.IntRange(0, 0xFFFFFFFF))
@output_option()
@pass_session
def get(session: Session, number: int, output: str) -> None:
    """Show the labels that a number stands for."""
    with connect(session) as client:
        found = client.identity(number)
    if output == "json":
        print_json(found)
    else:
        print_record(found)
