"""`ringfence bpf ct`: the tracked connections, listed and forgotten, all or those that some terms mean."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import named, numbers_option, output_option, print_json, print_table
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.client_bpf import Connections
    from ringfence.api.shapes import ConnectionShape

Command = TypeVar("Command", bound=Callable[..., Any])
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
COLUMNS = (
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


class _Terms(TypedDict):
    """The terms as click gives them."""

    from_: tuple[str, ...]
    to: tuple[str, ...]
    port: str | None
    protocol: str | None
    identity: int | None
    state: tuple[str, ...]


TERMS = (
    click.option(
        "--from",
        "from_",
        multiple=True,
        metavar="PEER",
        help="Only opened by: an address, prefix, label, identity's number or endpoint. Repeatable: any of them.",
    ),
    click.option("--to", multiple=True, metavar="PEER", help="Only opened to, likewise. Repeatable."),
    click.option("--port", metavar="PORT", help="Only with this port at either end, such as 8080/TCP."),
    click.option("--protocol", metavar="PROTO", help="Only TCP, UDP, SCTP, ICMP, ICMPv6 or a number."),
    click.option(
        "--identity", type=click.IntRange(0, 0xFFFFFFFF), metavar="N", help="Only with this identity at an end."
    ),
    click.option(
        "--state",
        multiple=True,
        metavar="STATE",
        help="Only opening (nothing came back yet), replied, closing, recreated or told. Repeatable: any of them.",
    ),
)


def _terms(command: Command) -> Command:
    for option in reversed(TERMS):
        command = option(command)
    return command


def _asked(terms: _Terms) -> Connections:
    return {
        "from_": list(terms["from_"]),
        "to": list(terms["to"]),
        "port": terms["port"],
        "protocol": terms["protocol"],
        "identity": terms["identity"],
        "state": list(terms["state"]),
    }


@click.group()
def ct() -> None:
    """Connections that were allowed and are remembered."""


@ct.command("list")
@_terms
@output_option("cilium")
@numbers_option
@pass_session
def list_connections(session: Session, *, output: str, numeric: bool, **terms: Unpack[_Terms]) -> None:
    """List the tracked connections, as they were opened; `-o cilium` prints a line each as `cilium-dbg bpf ct list`."""
    with connect(session) as client:
        connections = client.connections(**_asked(terms))
    if output == "json":
        print_json(connections)
    elif output == "cilium":
        now = time()
        for connection in connections:
            click.echo(_cilium_line(connection, now))
    else:
        rows = (_row(connection, numeric=numeric) for connection in connections)
        print_table(COLUMNS, rows, right=COLUMNS[6:])


@ct.command()
@_terms
@output_option()
@pass_session
def flush(session: Session, *, output: str, **terms: Unpack[_Terms]) -> None:
    """Forget every connection, or those that are meant; live ones are judged anew at their next packet."""
    with connect(session) as client:
        answer = client.flush_connections(**_asked(terms))
    if output == "json":
        print_json(answer)
    else:
        click.echo(f"{answer['flushed']} connections forgotten")


def _row(connection: ConnectionShape, *, numeric: bool) -> tuple[object, ...]:
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
    return _with_port(address, port)


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _cilium_line(found: ConnectionShape, now: float) -> str:
    """One line in the words of `cilium-dbg bpf ct list`. One entry is both directions here: OUT, as it was opened;
    times are seconds of the wall clock, of the newest packet of either direction; what Ringfence has none of is 0.
    """
    packets, size = found["packets"] + found["reply_packets"], found["bytes"] + found["reply_bytes"]
    seen, remaining = int(now - found["idle_seconds"]), int(found["remaining_seconds"])
    closing = "closing" in found["state"]
    forth, back = found["tcp_flags"]
    return (
        f"{PROTOCOLS.get(found['protocol'], found['protocol'])} OUT "
        f"{_with_port(found['source'], found['source_port'])} -> "
        f"{_with_port(found['destination'], found['destination_port'])} "
        f"expires={int(now) + remaining} (remaining: {remaining} sec(s)) Packets={packets} Bytes={size} "
        f"RxFlagsSeen={back:#04x} LastRxReport={seen} TxFlagsSeen={forth:#04x} LastTxReport={seen} "
        f"Flags={0x3 if closing else 0:#06x} [ {'RxClosing TxClosing ' if closing else ''}] RevNAT=0 "
        f"SourceSecurityID={found['source_identity']} BackendID=0 NatPort=0"
    )
