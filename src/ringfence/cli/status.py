"""`ringfence status`: the agent's state on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import Losses, Recording
    from ringfence.api.shapes import LastCommit, Status, Verification


DRIFTED = 1
MEBIBYTE = 1 << 20
#: A proof over a large map takes its time.
_PROOF_SECONDS = 600.0


@click.command()
@click.option(
    "--verify",
    is_flag=True,
    help="Read the maps back from the kernel and compare them with what is wanted; exit code 1 if they differ.",
)
@output_option()
@pass_session
@click.pass_context
def status(context: click.Context, session: Session, *, verify: bool, output: str) -> None:
    """Show revision, endpoints, what is attached, counters, drops and lost events."""
    if verify:
        with connect(session, _PROOF_SECONDS) as client:
            found = client.verify()
        print_json(found) if output == "json" else _print_verification(found)
        context.exit(0 if found["equal"] else DRIFTED)
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


def _print_verification(found: Verification) -> None:
    checked, proof = found["checked"], found["proof"]
    told = ", ".join(f"{count} {what}" for what, count in checked.items())
    click.echo(f"revision {found['revision']}, read back from the kernel: {told}")
    for each in found["drift"]:
        click.echo(f"{each['change']} in {each['map']}: {each['entry']}")
        click.echo(f"    wanted: {each['wanted'] or 'nothing'}")
        click.echo(f"    found:  {each['found'] or 'nothing'}")
    packet = proof["counterexample"]
    if packet is None:
        click.echo(f"equal to the policies over {proof['classes']} classes, standing for all packets")
    else:
        click.echo(f"not equal to the policies, for example: {packet['from']} -> {packet['to']} {packet['port']}")
        click.echo(f"    by the book: {packet['oracle']['verdict']}: {packet['oracle']['rule']}")
        click.echo(f"    by the map:  {packet['map']['verdict']}: {packet['map']['rule']}")
    click.echo(f"{len(found['drift'])} differences" if found["drift"] else "no drift")


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
        ("Events", f"{events['seen']} seen, {events['held_back']} denials held back"),
        ("Aggregation", _aggregation(state)),
        ("Lost events", _losses(events["losses"])),
        ("Recording", _recording(state["recording"])),
        ("Last commit", _commit(commit) if commit else "none yet"),
    ]
    for name, value in rows:
        click.echo(f"{name + ':':<13}{value}")


def _aggregation(state: Status) -> str:
    """The host's, and what is set otherwise."""
    own = [f"{aggregation} for {name}" for name, aggregation in sorted(state["aggregations"].items())]
    return "; ".join([state["config"]["aggregation"], *own])


def _losses(losses: Losses) -> str:
    """Events that were lost, by stage."""
    told = [f"{count} at {stage}" for stage, count in cast("dict[str, int]", losses).items() if count]
    return ", ".join(told) if told else "none"


def _recording(found: Recording) -> str:
    if found["state"] != "recording":
        return f"{found['state']}: {found['reason']}"
    since = f" since {found['oldest']}" if found["oldest"] else ""
    size = f"{found['bytes'] / MEBIBYTE:.1f} MiB"
    return f"{found['flows']} flows{since}, {size} in {found['segments']} segments in {found['directory']}"


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
    for attached in state["attach"]:
        for other in attached["others"]:
            click.echo(f"also at {attached['endpoint']}: {other}")


def _print_drops(state: Status) -> None:
    if not state["drops"]:
        return
    click.echo()
    print_table(
        ("DROPPED BECAUSE", "DIRECTION", "PACKETS", "BYTES"),
        ((drop["reason"], drop["direction"], drop["packets"], drop["bytes"]) for drop in state["drops"]),
        right=("PACKETS", "BYTES"),
    )
