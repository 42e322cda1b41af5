"""`ringfence bpf policy`: the entries that the kernel judges by, listed, and set by hand where that is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import named, numbers_option, output_option, print_json, print_table
from ringfence.cli.session import Session, pass_session
from ringfence.errors import BadInput, NotFound
from ringfence.traffic import parse_pattern

if TYPE_CHECKING:
    from ringfence.api.shapes import EntryKey, EntryRequest, EntryShape

COLUMNS = ("DIRECTION", "SUBJECT", "PEER", "PORT", "PROTO", "ACTION", "PRECEDENCE", "PACKETS", "BYTES", "RULE")
ANY = "any"
CLASS = "class:"

SUBJECT = click.argument("subject", type=click.IntRange(0, 0xFFFFFFFF))
PEER = click.argument("peer")
TRAFFIC = click.argument("traffic")
DIRECTION = click.option(
    "--direction", type=click.Choice(["ingress", "egress"]), default="ingress", show_default=True, help="Of the rule."
)
TIER = click.option(
    "--tier",
    type=click.Choice(["admin", "normal", "baseline"]),
    default="normal",
    show_default=True,
    help="Of the rule.",
)


class Peer(NamedTuple):
    """A peer as it is typed: a number of an identity, `class:N`, or `any`."""

    kind: Literal["identity", "prefix_class", "any"]
    number: int


@click.group()
def policy() -> None:
    """Policy entries. The subject is whom a rule protects (ingress: the destination), the peer is the other end.

    PEER is an identity's number, class:N for a prefix class, or any. TRAFFIC is such as 8080/TCP, any/UDP or any.
    """


@policy.command("list")
@click.option("--subject", type=click.IntRange(0, 0xFFFFFFFF), help="Only entries of this identity.")
@click.option("--peer", type=click.IntRange(0, 0xFFFFFFFF), help="Only entries about this peer.")
@output_option("tuple")
@numbers_option
@pass_session
def list_entries(session: Session, *, subject: int | None, peer: int | None, output: str, numeric: bool) -> None:
    """List the entries; `-o tuple` prints `[subject, peer, port, protocol] -> action`."""
    with connect(session) as client:
        entries = client.entries(subject, peer)
    _show(entries, output, numeric=numeric)


@policy.command()
@SUBJECT
@click.argument("peer", required=False)
@click.argument("traffic", required=False)
@output_option("tuple")
@numbers_option
@pass_session
def get(session: Session, *, subject: int, peer: str | None, traffic: str | None, output: str, numeric: bool) -> None:
    """Show the entries of a subject, about one peer, for one kind of traffic: of both directions and every tier."""
    wanted = _parse_peer(peer) if peer is not None else None
    with connect(session) as client:
        entries = client.entries(subject)
    found = [
        entry
        for entry in entries
        if (wanted is None or (entry["peer_kind"], entry["peer"]) == wanted)
        and (traffic is None or _has_traffic(entry, traffic))
    ]
    if not found:
        asked = " ".join(str(part) for part in (subject, peer, traffic) if part is not None)
        raise NotFound(f"no policy entry {asked}; all entries: ringfence bpf policy list")
    _show(found, output, numeric=numeric)


@policy.command("set")
@SUBJECT
@PEER
@TRAFFIC
@click.argument("action", type=click.Choice(["allow", "deny"]))
@DIRECTION
@TIER
@pass_session
def set_entry(
    session: Session,
    *,
    subject: int,
    peer: str,
    traffic: str,
    action: Literal["allow", "deny"],
    direction: Literal["ingress", "egress"],
    tier: Literal["admin", "normal", "baseline"],
) -> None:
    """Set an entry by hand, as a commit of its own; it comes before every rule at its key until it is deleted."""
    request: EntryRequest = {**_key(subject, peer, traffic, direction, tier), "action": action}
    with connect(session) as client:
        answer = client.set_entry(request)
    click.echo(f"{subject} {peer} {traffic} -> {action}, revision {answer['revision']}")


@policy.command("delete")
@SUBJECT
@PEER
@TRAFFIC
@DIRECTION
@TIER
@pass_session
def delete_entry(
    session: Session,
    *,
    subject: int,
    peer: str,
    traffic: str,
    direction: Literal["ingress", "egress"],
    tier: Literal["admin", "normal", "baseline"],
) -> None:
    """Delete an entry that was set by hand; what the rules say at its key counts again."""
    with connect(session) as client:
        answer = client.delete_entry(_key(subject, peer, traffic, direction, tier))
    click.echo(f"{subject} {peer} {traffic} deleted, revision {answer['revision']}")


def _key(
    subject: int,
    peer: str,
    traffic: str,
    direction: Literal["ingress", "egress"],
    tier: Literal["admin", "normal", "baseline"],
) -> EntryKey:
    other = _parse_peer(peer)
    key: EntryKey = {
        "direction": direction,
        "subject": subject,
        "peer": other.number,
        "peer_kind": other.kind,
        "tier": tier,
    }
    if traffic != ANY:
        protocol, port = _parse_traffic(traffic)
        key["protocol"] = protocol
        if port is not None:
            key["port"] = port
    return key


def _parse_peer(text: str) -> Peer:
    if text == ANY:
        return Peer("any", 0)
    number = text.removeprefix(CLASS)
    if not number.isascii() or not number.isdigit():
        raise BadInput(f"{text!r} is no peer: write the number of an identity, {CLASS}N or {ANY}")
    return Peer("prefix_class" if text.startswith(CLASS) else "identity", int(number))


def _parse_traffic(text: str) -> tuple[int, int | None]:
    try:
        pattern = parse_pattern(text)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return int(pattern.protocol), pattern.port


def _has_traffic(entry: EntryShape, text: str) -> bool:
    """Tell whether an entry is exactly about this traffic, not whether it matches it."""
    if text == ANY:
        return entry["prefix"] == 0
    protocol, port = _parse_traffic(text)
    return (entry["protocol"], entry["prefix"], entry["port"]) == (
        (protocol, 24, port) if port is not None else (protocol, 8, 0)
    )


def _show(entries: Iterable[EntryShape], output: str, *, numeric: bool) -> None:
    if output == "json":
        print_json(list(entries))
    elif output == "tuple":
        for entry in entries:
            fields = [entry["subject"], entry["peer"], entry["port"], entry["protocol"]]
            click.echo(f"{fields} -> {entry['action']}")
    else:
        print_table(COLUMNS, (_row(entry, numeric=numeric) for entry in entries), right=COLUMNS[6:9])


def _row(entry: EntryShape, *, numeric: bool) -> tuple[object, ...]:
    port, protocol = _port_and_protocol(entry, numeric=numeric)
    return (
        entry["direction"],
        named(entry["subject"], entry["subject_labels"], numeric=numeric),
        _peer(entry, numeric=numeric),
        port,
        protocol,
        entry["action"],
        entry["precedence"],
        entry["packets"],
        entry["bytes"],
        entry["rule"],
    )


def _peer(entry: EntryShape, *, numeric: bool) -> str:
    if entry["peer_kind"] == "any":
        return "ANY"
    text = named(entry["peer"], entry["peer_labels"], numeric=numeric)
    return CLASS + text if entry["peer_kind"] == "prefix_class" else text


def _port_and_protocol(entry: EntryShape, *, numeric: bool) -> tuple[str, str]:
    """Show the port (or ICMP type), a block of ports as its range, and the protocol; ANY for what is not looked at."""
    if entry["prefix"] == 0:
        return "ANY", "ANY"
    port, _, protocol = entry["traffic"].rpartition("/")
    first, last = entry["port"], entry["port"] + (1 << (24 - entry["prefix"])) - 1
    if entry["prefix"] == 8:
        port = "ANY"
    elif numeric or first != last:
        port = str(first) if first == last else f"{first}-{last}"
    return port, str(entry["protocol"]) if numeric else protocol
