"""`ringfence lab`: manifests made into network namespaces, and the matrix of what gets through between them."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.text import Text

from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.session import Session, pass_session
from ringfence.cli.sources import read
from ringfence.lab import laboratory
from ringfence.lab.matrix import Probe, Selection, probe_all
from ringfence.lab.plan import plan

DEFAULT_LAB = "lab"
FILES = click.argument("paths", nargs=-1, metavar="FILE...")
MARKS = {True: Text("yes", style="green"), False: Text("no", style="red"), None: Text("-", style="dim")}


@click.group()
def lab() -> None:
    """Manifests (Namespace, Pod, Service, policies) as network namespaces; one of its own plays the node.

    The lab's agent is an instance named lab, or as --instance says: `ringfence --instance lab monitor`.
    """


@lab.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE...")
@pass_session
def up(session: Session, *, paths: tuple[str, ...]) -> None:
    """Bring a lab up, with the policies of the files in force. What an earlier one left behind is removed first."""
    instance = session.instance or DEFAULT_LAB
    sources = read(paths)
    laboratory.up(plan(instance, sources), sources, _say)
    click.echo(f"lab {instance} is up; its agent: --instance {instance}")


@lab.command()
@FILES
@click.option("--from", "source", metavar="NS/POD", help="Only from this pod.")
@click.option(
    "--to", "destination", metavar="NS/POD", help="Only to this pod, or by service/NS/NAME to the address of a service."
)
@click.option("--port", metavar="PORT", help="Only this port, such as 8080/TCP, whether or not a pod declares it.")
@output_option()
@pass_session
def probe(
    session: Session,
    *,
    paths: tuple[str, ...],
    source: str | None,
    destination: str | None,
    port: str | None,
    output: str,
) -> None:
    """Send real TCP, UDP and ICMP between all pairs of pods, and show what got through.

    Every pod is tried on each port that it declares and by ping; a service, at its own address, on the ports that it
    has. Without FILE, the manifests that the lab was brought
    up with.
    """
    instance = session.instance or DEFAULT_LAB
    sources = read(paths) if paths else laboratory.manifests(instance)
    probes = probe_all(plan(instance, sources), Selection(source, destination, port), _say)
    if output == "json":
        print_json({"probes": [found.document() for found in probes]})
    else:
        _print_matrix(probes)


@lab.command()
@FILES
@pass_session
def down(session: Session, *, paths: tuple[str, ...]) -> None:
    """Take a lab down: its agent, namespaces and pins, also after a failed start. FILE is not needed."""
    del paths  # as `up` takes them; a lab is found by its name
    instance = session.instance or DEFAULT_LAB
    found = laboratory.down(instance)
    click.echo(f"lab {instance} removed" if found else f"there was no lab {instance}")


def _say(message: str) -> None:
    click.echo(message, err=True)


def _print_matrix(probes: Sequence[Probe]) -> None:
    """Print one table a port: who (down) reached whom (across)."""
    for port in dict.fromkeys(probe.port for probe in probes):
        through = {(probe.source, probe.destination): probe.through for probe in probes if probe.port == port}
        destinations = list(dict.fromkeys(destination for _, destination in through))
        sources = dict.fromkeys(source for source, _ in through)
        click.echo(f"{port}, from (down) to (across)")
        rows = ((source, *(MARKS[through.get((source, each))] for each in destinations)) for source in sources)
        print_table(("", *destinations), rows)
        click.echo()
