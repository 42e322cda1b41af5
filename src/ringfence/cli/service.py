"""`ringfence service apply | add | list | delete`: addresses that lead to backends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.places import place
from ringfence.cli.policies import FILES, show_applied
from ringfence.cli.service_manifest import manifests
from ringfence.cli.session import Session, pass_session
from ringfence.cli.sources import read

if TYPE_CHECKING:
    from ringfence.api.service_shapes import FrontendShape, ServiceShape

_PORT = "PORT[:TARGET][/PROTOCOL]"


@click.group()
def service() -> None:
    """Services: virtual addresses and ports that lead to backends."""


@service.command()
@FILES
@output_option()
@pass_session
def apply(session: Session, paths: tuple[str, ...], output: str) -> None:
    """Put the Services and EndpointSlices of files into force, in one atomic commit; `-` reads standard input.

    One of the same namespace and name is replaced. Policies that stand in the files are applied too.
    """
    sources = read(paths)
    with connect(session) as client:
        answer = client.apply_policies(sources)
    show_applied(answer, "applied", output)


@service.command()
@click.argument("name", metavar="[NAMESPACE/]NAME")
@click.option("--address", "addresses", multiple=True, required=True, help="virtual address; once for each family")
@click.option("--port", "ports", multiple=True, required=True, metavar=_PORT, help="e.g. 80:8080/TCP; may be repeated")
@click.option("--backend", "backends", multiple=True, metavar="ADDRESS", help="address of a backend; may be repeated")
@click.option("--selector", metavar="KEY=VALUE,...", help="instead of --backend: labels of this host's workloads")
@click.option("--algorithm", type=click.Choice(["random", "maglev"]), default="random", show_default=True)
@click.option("--affinity", type=click.IntRange(1, 86400), metavar="SECONDS", help="keep a client with its backend")
@output_option()
@pass_session
def add(session: Session, /, name: str, output: str, **asked: Any) -> None:
    """Add a service, or replace the one of that name."""
    text = manifests(name, **asked)
    with connect(session) as client:
        answer = client.apply_policies([("<command line>", text)])
    show_applied(answer, "applied", output)


@service.command()
@click.argument("names", nargs=-1, required=True, metavar="[NAMESPACE/]NAME...")
@output_option()
@pass_session
def delete(session: Session, names: tuple[str, ...], output: str) -> None:
    """Delete services, each with its slices, in one atomic commit. Their connections end."""
    with connect(session) as client:
        answer = client.delete_services(names)
    show_applied(answer, "deleted", output)


@service.command("list")
@output_option()
@pass_session
def list_services(session: Session, output: str) -> None:
    """List services with their frontends and backends.

    A backend in brackets gets no new connections: it terminates or is not ready.
    """
    with connect(session) as client:
        found = client.services()
    if output == "json":
        print_json(found)
    else:
        print_table(("SERVICE", "FRONTEND", "BACKENDS"), _rows(found))


def _rows(found: Iterable[ServiceShape]) -> Iterator[tuple[str, str, str]]:
    for each in found:
        cells = [_cells(frontend) for frontend in each["frontends"]] or [("-", "headless")]
        for number, (frontend, backends) in enumerate(cells):
            yield "" if number else each["name"], frontend, backends


def _cells(frontend: FrontendShape) -> tuple[str, str]:
    where = place(frontend["address"], frontend["port"])
    outside = " (outside)" if frontend["outside"] else ""
    new = set(frontend["new"])
    backends = [place(each["address"], each["port"]) for each in frontend["backends"]]
    told = [each if each in new else f"[{each}]" for each in backends]
    return f"{where}/{frontend['protocol']}{outside}", ", ".join(told) or "none"
