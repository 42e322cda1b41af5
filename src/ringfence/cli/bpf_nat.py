"""`ringfence bpf nat list | flush`: what leaves by an uplink under the host's own address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.places import place
from ringfence.cli.session import Session, pass_session

Command = TypeVar("Command", bound=Callable[..., Any])


def _terms(command: Command) -> Command:
    within = click.option("--address", "within", metavar="ADDRESS|PREFIX", help="Only where it is one of the ends.")
    protocol = click.option("--protocol", metavar="PROTOCOL", help="Only tcp, udp, icmp, ...")
    return within(protocol(command))


@click.group()
def nat() -> None:
    """Source translation (`ringfence agent --uplink ... --snat`): endpoints as the world sees them."""


@nat.command("list")
@_terms
@click.option("--own", is_flag=True, help="The host's own connections too, which only keep their ports.")
@output_option()
@pass_session
def list_translations(session: Session, *, within: str | None, protocol: str | None, own: bool, output: str) -> None:
    """List flows by what the endpoint sends; of an echo the identifier is the port."""
    with connect(session) as client:
        found = [each for each in client.translations(within, protocol) if own or not each["own"]]
    if output == "json":
        print_json(found)
        return
    rows = (
        (
            each["protocol"],
            place(each["source"], each["source_port"]),
            place(each["destination"], each["destination_port"]),
            place(each["seen"], each["seen_port"]),
        )
        for each in found
    )
    print_table(("PROTOCOL", "SOURCE", "DESTINATION", "SEEN AS"), rows)


@nat.command()
@_terms
@output_option()
@pass_session
def flush(session: Session, *, within: str | None, protocol: str | None, output: str) -> None:
    """Forget flows: their next packet may leave by another port, which ends what is connected."""
    with connect(session) as client:
        answer = client.flush_translations(within, protocol)
    if output == "json":
        print_json(answer)
    else:
        click.echo(f"{answer['flushed']} flows forgotten")
