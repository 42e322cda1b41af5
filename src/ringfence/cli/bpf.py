"""`ringfence bpf`: what stands in the kernel's maps, decoded, with label names beside the numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ringfence.cli.bpf_policy import policy
from ringfence.cli.connection import connect
from ringfence.cli.output import named, numbers_option, output_option, print_json, print_table
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.shapes import ConnectionShape, IpcacheShape

PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}


@click.group()
def bpf() -> None:
    """The kernel's maps: policy entries, addresses, connections, and every map as it is."""


bpf.add_command(policy)


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
def ct() -> None:
    """Connections that were allowed and are remembered."""


@ct.command("list")
@output_option()
@numbers_option
@pass_session
def list_connections(session: Session, *, output: str, numeric: bool) -> None:
    """List the tracked connections, as they were opened."""
    with connect(session) as client:
        connections = client.connections()
    if output == "json":
        print_json(connections)
        return
    columns = (
        "PROTO",
        "SOURCE",
        "DESTINATION",
        "FROM",
        "TO",
        "STATE",
        "REVISION",
        "IDLE",
        "PACKETS",
        "REPLIES",
        "BYTES",
    )
    rows = (_connection(connection, numeric=numeric) for connection in connections)
    print_table(columns, rows, right=("REVISION", "IDLE", "PACKETS", "REPLIES", "BYTES"))


@ct.command()
@output_option()
@pass_session
def flush(session: Session, output: str) -> None:
    """Forget every connection; live ones are judged anew at their next packet."""
    with connect(session) as client:
        answer = client.flush_connections()
    if output == "json":
        print_json(answer)
    else:
        click.echo(f"{answer['flushed']} connections forgotten")


@bpf.group("map")
def maps() -> None:
    """Every map, decoded by the layouts generated from the BPF object."""


@maps.command("list")
@output_option()
@pass_session
def list_maps(session: Session, output: str) -> None:
    """List the maps and how full they are."""
    with connect(session) as client:
        found = client.maps()
    if output == "json":
        print_json(found)
        return
    columns = ("NAME", "TYPE", "ENTRIES", "MAX ENTRIES", "KEY BYTES", "VALUE BYTES")
    rows = (
        (shape["name"], shape["type"], shape["entries"], shape["max_entries"], shape["key_bytes"], shape["value_bytes"])
        for shape in found
    )
    print_table(columns, rows, right=columns[2:])


@click.command()
@click.argument("name")
@output_option()
@numbers_option
@pass_session
def dump(session: Session, *, name: str, output: str, numeric: bool) -> None:
    """Show the elements of a map; of an array, those that are not all zero."""
    with connect(session) as client:
        answer = client.map(name)
    if output == "json":
        print_json(answer)
        return
    rows = ((_element(row["key"], numeric=numeric), _element(row["value"], numeric=numeric)) for row in answer["rows"])
    print_table(("KEY", "VALUE"), rows)


maps.add_command(dump)
bpf.add_command(dump, "map_entries")

# `subject_labels` stands beside `subject` where a field holds an identity.
NAMES = "_labels"


def _element(value: object, *, numeric: bool) -> str:
    if not isinstance(value, dict):
        return _plain(value)
    shown = []
    for field, inner in value.items():
        if not field.endswith(NAMES):
            names = value.get(field + NAMES, [])
            shown.append(f"{field}={named(inner, names, numeric=numeric) if names else _plain(inner)}")
    return " ".join(shown)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


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


def _connection(connection: ConnectionShape, *, numeric: bool) -> tuple[object, ...]:
    return (
        connection["protocol"] if numeric else PROTOCOLS.get(connection["protocol"], connection["protocol"]),
        _socket(connection["source"], connection["source_port"]),
        _socket(connection["destination"], connection["destination_port"]),
        named(connection["source_identity"], connection["source_labels"], numeric=numeric),
        named(connection["destination_identity"], connection["destination_labels"], numeric=numeric),
        ",".join(connection["state"]),
        connection["revision"],
        f"{connection['idle_seconds']:.0f}s",
        connection["packets"],
        connection["reply_packets"],
        connection["bytes"] + connection["reply_bytes"],
    )


def _socket(address: str, port: int) -> str:
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
