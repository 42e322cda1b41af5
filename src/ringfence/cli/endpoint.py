"""`ringfence endpoint`: the workloads that the agent manages."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from ringfence.cli.config import AGGREGATIONS, parse_settings
from ringfence.cli.connection import connect
from ringfence.cli.output import labels, output_option, print_json, print_record, print_table
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.shapes import EndpointShape

_SETTINGS = {"aggregation": (*AGGREGATIONS, "host")}
COLUMNS = ("ID", "NAME", "IDENTITY", "LABELS", "ADDRESSES", "INGRESS", "EGRESS", "STATE", "DELIVERY")


class _Workload(TypedDict):
    """What the options of `add` say of a workload."""

    netns: str
    interface: str
    labels: tuple[str, ...]
    ports: tuple[str, ...]
    namespace: str | None


@click.group()
def endpoint() -> None:
    """Workloads: namespaces, containers and VMs with an interface of their own, as Ringfence manages them."""


@endpoint.command()
@click.argument("name")
@click.option("--netns", required=True, metavar="NS", help="Network namespace: a name under /run/netns, or a path.")
@click.option("--interface", default="eth0", show_default=True, help="The workload's interface in there.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="app=web or source:key=value; repeatable.")
@click.option("--port", "ports", multiple=True, metavar="PORT", help="A port with a name: http=8080/TCP; repeatable.")
@click.option("--namespace", help="Kubernetes namespace that it belongs to.")
@output_option()
@pass_session
def add(session: Session, *, name: str, output: str, **workload: Unpack[_Workload]) -> None:
    """Put a workload under policy; again: give it other labels, and read its addresses anew."""
    with connect(session) as client:
        answer = client.put_endpoint(name, **workload)
    if output == "json":
        print_json(answer)
    else:
        click.echo(f"endpoint {name}: id {answer['id']}, identity {answer['identity']} ({labels(answer['labels'])})")


@endpoint.command("list")
@output_option()
@pass_session
def list_endpoints(session: Session, output: str) -> None:
    """List the workloads."""
    with connect(session) as client:
        endpoints = client.endpoints()
    if output == "json":
        print_json(endpoints)
    else:
        print_table(COLUMNS, map(_row, endpoints), right=("ID", "IDENTITY"))


@endpoint.command()
@click.argument("name")
@output_option()
@pass_session
def get(session: Session, name: str, output: str) -> None:
    """Show one workload."""
    with connect(session) as client:
        found = client.endpoint(name)
    if output == "json":
        print_json(found)
    else:
        print_record(found)


@endpoint.command()
@click.argument("name")
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@output_option()
@pass_session
def config(session: Session, name: str, settings: tuple[str, ...], output: str) -> None:
    """Show the settings of a workload, or change them; they are kept as long as the workload is managed.

    aggregation=packets, connections, verdicts, off or host: which of its packets are events; host is as
    `ringfence config` says.
    """
    wanted = parse_settings(settings, _SETTINGS)
    with connect(session) as client:
        found = client.configure_endpoint(name, **wanted) if wanted else client.endpoint(name)
    told = {each: found[each] for each in ("aggregation", "aggregation_in_force")}
    print_json(told) if output == "json" else print_record(told)


@endpoint.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@pass_session
def delete(session: Session, names: tuple[str, ...]) -> None:
    """Let go of workloads: their traffic is no longer judged."""
    with connect(session) as client:
        for name in names:
            client.delete_endpoint(name)
            click.echo(f"endpoint {name} deleted")


def _row(found: EndpointShape) -> tuple[object, ...]:
    enforcement = found["enforcement"]
    return (
        found["id"],
        found["name"],
        found["identity"],
        labels(found["labels"]),
        " ".join(found["addresses"]),
        "enforced" if enforcement["ingress"] else "open",
        "enforced" if enforcement["egress"] else "open",
        found["state"],
        found["delivery"],
    )
