"""`ringfence bpf lb list`: services as the kernel's maps have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.places import place
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.service_shapes import BalancedShape, BalancingShape

_VIEWS = ("frontends", "backends", "revnat", "maglev")


@click.group()
def lb() -> None:
    """Services: frontends, their backends, and what replies are translated back to."""


@lb.command("list")
@click.option("--frontends", "view", flag_value="frontends", help="only frontends, with what they lead to (default)")
@click.option("--backends", "view", flag_value="backends", help="the rows of backends, with their states")
@click.option("--revnat", "view", flag_value="revnat", help="where replies come from, by the number in events")
@click.option("--maglev", "view", flag_value="maglev", help="how many entries of Maglev's tables each backend has")
@output_option()
@pass_session
def list_balancing(session: Session, view: str | None, output: str) -> None:
    """List what the kernel has of services at the active revision."""
    with connect(session) as client:
        found = client.balancing()
    if output == "json":
        print_json(found)
        return
    {"backends": _backends, "revnat": _revnat, "maglev": _maglev}.get(view or "", _frontends)(found)


def _frontends(found: BalancingShape) -> None:
    rows = (
        (each["row"], _frontend(each), each["service"] or "?", _leads_to(each), ", ".join(_settings(each)))
        for each in found["frontends"]
    )
    print_table(("ROW", "FRONTEND", "SERVICE", "BACKENDS", "SETTINGS"), rows, right=("ROW",))


def _leads_to(each: BalancedShape) -> str:
    if "no_port" in each["flags"]:
        return "no such port"
    return ", ".join(sorted(each["picks"])) or "none"


def _settings(each: BalancedShape) -> Iterator[str]:
    if "maglev" in each["flags"]:
        yield f"maglev {each['entries']}"
    if each["affinity_seconds"]:
        yield f"affinity {each['affinity_seconds']}s"
    if each["source_ranges"]:
        yield f"only from {' '.join(each['source_ranges'])}"


def _backends(found: BalancingShape) -> None:
    rows = (
        (each["row"], place(each["address"], each["port"]), each["group"], each["state"]) for each in found["backends"]
    )
    print_table(("ROW", "BACKEND", "GROUP", "STATE"), rows, right=("ROW", "GROUP"))


def _revnat(found: BalancingShape) -> None:
    rows = ((each["row"], _frontend(each)) for each in sorted(found["frontends"], key=lambda each: each["row"]))
    print_table(("ROW", "REPLIES COME FROM"), (row for row in rows if not row[1].endswith("*")), right=("ROW",))


def _maglev(found: BalancingShape) -> None:
    rows = (
        (_frontend(each), place, picks, f"{100 * picks / each['entries']:.2f} %")
        for each in found["frontends"]
        if "maglev" in each["flags"]
        for place, picks in sorted(each["picks"].items())
    )
    print_table(("FRONTEND", "BACKEND", "ENTRIES", "SHARE"), rows, right=("ENTRIES", "SHARE"))


def _frontend(each: BalancedShape) -> str:
    outside = " (outside)" if each["outside"] else ""
    protocol = f"/{each['protocol']}" if each["port"] else ""
    return f"{place(each['address'], each['port'])}{protocol}{outside}"
