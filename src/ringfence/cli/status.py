"""`ringfence status`: the agent's state on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.shapes import LastCommit, Status


@click.command()
@output_option()
@pass_session
def status(session: Session, output: str) -> None:
    """Show revision, endpoints, what is attached, counters, drops and lost events."""
    with connect(session) as client:
        state = client.status()
    if output == "json":
        print_json(state)
        return
    _print_totals(state)
    for warning in state["warnings"]:
        click.echo(f"warning: {warning}")
    _print_attachments(state)
    _print_drops(state)


def _print_totals(state: Status) -> None:
    events, counters = state["events"], state["counters"]
    commit = state["last_commit"]
    rows = [
        ("Instance", state["instance"]),
        ("Revision", state["revision"]),
        ("Uptime", f"{state['uptime_seconds']:.0f} s"),
        ("Endpoints", state["endpoints"]),
        ("Policies", state["policies"]),
        ("Identities", state["identities"]),
        ("Packets", f"{counters['allowed']} allowed, {counters['denied']} denied"),
        ("Events", f"{events['seen']} seen, {events['lost']} lost"),
        ("Last commit", _commit(commit) if commit else "none yet"),
    ]
    for name, value in rows:
        click.echo(f"{name + ':':<13}{value}")


def _commit(commit: LastCommit) -> str:
    written = f"{commit['entries']} entries, {commit['prefixes']} prefixes, {commit['rules']} rules"
    return f"{written} written in {commit['milliseconds']:.2f} ms at {commit['time']}"


def _print_attachments(state: Status) -> None:
    if not state["attach"]:
        return
    click.echo()
    print_table(
        ("ENDPOINT", "IFINDEX", "MECHANISM", "PROGRAMS", "DELIVERY", "BECAUSE"),
        (
            (
                attached["endpoint"],
                attached["ifindex"],
                attached["mechanism"],
                "both attached" if attached["programs_ok"] else "MISSING",
                attached["delivery"],
                attached["delivery_reason"],
            )
            for attached in state["attach"]
        ),
        right=("IFINDEX",),
    )


def _print_drops(state: Status) -> None:
    if not state["drops"]:
        return
    click.echo()
    print_table(
        ("DROPPED BECAUSE", "DIRECTION", "PACKETS", "BYTES"),
        ((drop["reason"], drop["direction"], drop["packets"], drop["bytes"]) for drop in state["drops"]),
        right=("PACKETS", "BYTES"),
    )
