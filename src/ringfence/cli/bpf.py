"""`ringfence bpf`: what stands in the kernel's maps, decoded, with label names beside the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ringfence.cli.bpf_ct import ct
from ringfence.cli.bpf_lb import lb
from ringfence.cli.bpf_map import dump, maps
from ringfence.cli.bpf_nat import nat
from ringfence.cli.bpf_policy import policy
from ringfence.cli.connection import connect
from ringfence.cli.output import named, numbers_option, output_option, print_json, print_table
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.shapes import IpcacheShape


@click.group()
def bpf() -> None:
    """The kernel's maps: policy entries, addresses, connections, counters, and every map as it is."""


@bpf.group()
def ipcache() -> None:
    """Addresses: prefix to identity, the longest prefix wins."""


@ipcache.command("list")
@output_option()
@numbers_option
@pass_session
def list_ipcache(session: Session, *, output: str, numeric: bool) -> None:
    """List what is known of every prefix."""
    with connect(session) as client:
        found = client.ipcache()
    _show_ipcache(found, output, numeric=numeric)


@ipcache.command("get")
@click.argument("address")
@output_option()
@numbers_option
@pass_session
def get_ipcache(session: Session, *, address: str, output: str, numeric: bool) -> None:
    """Show what the longest prefix that contains ADDRESS says of it."""
    with connect(session) as client:
        found = client.ipcache(address)
    _show_ipcache(found, output, numeric=numeric)


@bpf.group()
def endpoint() -> None:
    """The workloads' interfaces, as the kernel has them."""


@endpoint.command("list")
@output_option()
@pass_session
def list_endpoints(session: Session, output: str) -> None:
    """List the addresses of this host's workloads, each with its row: interface, MAC addresses, way of delivery."""
    with connect(session) as client:
        found = client.local_addresses()
    if output == "json":
        print_json(found)
        return
    columns = ("ADDRESS", "ENDPOINT", "ROW", "IFINDEX", "MAC", "HOST MAC", "DELIVERY", "AGGREGATION")
    rows = (
        (
            each["address"],
            each["endpoint"],
            each["row"],
            each["ifindex"] or "gone",
            each["mac"],
            each["host_mac"],
            each["delivery"],
            each["aggregation"],
        )
        for each in found
    )
    print_table(columns, rows, right=("ROW", "IFINDEX"))


@bpf.group()
def metrics() -> None:
    """Packets by reason and direction."""


@metrics.command("list")
@output_option()
@pass_session
def list_metrics(session: Session, output: str) -> None:
    """List what was let through and what was dropped and why, since the programs were loaded."""
    with connect(session) as client:
        found = client.metrics_map()
    if output == "json":
        print_json(found)
        return
    rows = ((each["reason"], each["direction"], each["packets"], each["bytes"]) for each in found)
    print_table(("REASON", "DIRECTION", "PACKETS", "BYTES"), rows, right=("PACKETS", "BYTES"))


for command in (policy, ct, lb, nat, maps):
    bpf.add_command(command)
bpf.add_command(dump, "map_entries")


def _show_ipcache(found: list[IpcacheShape], output: str, *, numeric: bool) -> None:
    if output == "json":
        print_json(found)
        return
    rows = (
        (
            shape["prefix"],
            named(shape["identity"], shape["labels"], numeric=numeric),
            shape["prefix_class"] or None,
            shape["endpoint"],
        )
        for shape in found
    )
    print_table(("PREFIX", "IDENTITY", "PREFIX CLASS", "ENDPOINT"), rows, right=("PREFIX CLASS",))
