"""`ringfence config`: what of the host can be set while its agent runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_record
from ringfence.cli.session import Session, pass_session
from ringfence.errors import BadInput

AGGREGATIONS = ("packets", "connections", "verdicts", "off")
_HOST: Mapping[str, Sequence[str] | None] = {"aggregation": AGGREGATIONS, "denial-limit": None}


@click.command()
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@output_option()
@pass_session
def config(session: Session, settings: tuple[str, ...], output: str) -> None:
    """Show the settings of the host, or set some of them until the agent ends.

    aggregation=packets, connections, verdicts or off: which packets are events, of workloads without a setting of
    their own. denial-limit=N: how many denials of one flow each CPU tells a second; 0 for all.
    """
    wanted = parse_settings(settings, _HOST)
    with connect(session) as client:
        found = client.configure(**wanted) if wanted else client.config()
    print_json(found) if output == "json" else print_record(found)


def parse_settings(texts: Sequence[str], known: Mapping[str, Sequence[str] | None]) -> dict[str, Any]:
    """`NAME=VALUE` by name, as the API calls it. `known` has the values of each name; None is a number from 0 on.

    Raises `BadInput`.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise BadInput(f"{text!r}: expected NAME=VALUE, with one of {', '.join(known)}")
        values = known[name]
        if values is None and not value.isdecimal():
            raise BadInput(f"{name} {value!r}: expected a number")
        if values is not None and value not in values:
            raise BadInput(f"{name} {value!r}: expected one of {', '.join(values)}")
        found[name.replace("-", "_")] = int(value) if values is None else value
    return found
