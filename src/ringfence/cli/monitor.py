"""`ringfence monitor`: verdicts as they are given, one line each."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import named, output_option, print_line
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import FlowShape, Lost, Party

COLOURS = {"allow": "green", "deny": "red"}


@click.command()
@click.option("--type", "kind", type=click.Choice(["drop", "allow"]), help="Only denials, or only the rest.")
@click.option(
    "--from", "sources", multiple=True, metavar="PEER", help="Only from: a label, identity, endpoint or address."
)
@click.option(
    "--to", "destinations", multiple=True, metavar="PEER", help="Only to: a label, identity, endpoint or address."
)
@click.option("--port", metavar="PORT", help="Only to a port, such as 8080/TCP.")
@output_option()
@pass_session
def monitor(
    session: Session,
    *,
    kind: str | None,
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    port: str | None,
    output: str,
) -> None:
    """Show every verdict from now on: who, to whom, what, and the rule that decided it. Ctrl-C ends it."""
    with connect(session) as client, client.events(type=kind, from_=sources, to=destinations, port=port) as events:
        click.echo("Listening for verdicts; press Ctrl-C to quit", err=True)
        # Ctrl-C is how one stops looking, not an error.
        with suppress(KeyboardInterrupt):
            for event in events:
                print_line(event) if output == "json" else click.echo(line(event))


def line(event: FlowShape | Lost) -> str:
    """Say an event in one line; colours are taken out again where the output is no terminal."""
    lost = event.get("lost")
    if lost is not None:
        return click.style(f"{lost} events lost: read too slowly", fg="yellow", bold=True)
    return _flow_line(cast("FlowShape", event))


def _flow_line(flow: FlowShape) -> str:
    verdict = click.style(flow["verdict"].upper().ljust(5), fg=COLOURS.get(flow["verdict"].lower()), bold=True)
    ends = f"{party(flow['source'])} -> {party(flow['destination'])}"
    told = f"{flow['time']} {verdict} {ends} {flow['port']} {flow['direction']} {flow['reason']}; {rule_text(flow)}"
    through = f"; service {flow['service']}" if flow["service"] else ""
    return f"{told}{through}{_totals(flow)}"


def _totals(flow: FlowShape) -> str:
    """What an event stands for beyond its own packet: a connection that ended, or denials that were held back."""
    (packets, replies), (size, back) = flow["packets"], flow["bytes"]
    if flow["kind"] == "close":
        return f"; closed after {packets} packets, {size} bytes, and {replies} packets, {back} bytes back"
    return f"; {packets - 1} more like it were held back" if flow["verdict"] == "deny" and packets > 1 else ""


def rule_text(flow: FlowShape) -> str:
    """Say the rule that decided, with where it was written."""
    decided = flow["rule"]
    if decided is None:
        return "no rule was asked"
    # A text usually names the place already ("isolated by web.yaml:12").
    return decided["text"] if decided["origin"] in decided["text"] else f"{decided['text']} ({decided['origin']})"


def party(end: Party) -> str:
    """Name one end: endpoint or address and port, identity and labels."""
    address = f"[{end['address']}]" if ":" in end["address"] else end["address"]
    where = f"{address}:{end['port']}" if end["port"] else address
    return f"{where} {named(end['identity'], end['labels'], numeric=False)}"
