"""`ringfence observe`: flows of the past and as they come, filtered and written as Hubble's users know them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from ringfence.cli.connection import connect
from ringfence.cli.flow_lines import Style, print_flows
from ringfence.cli.observe_filters import ObserveCommand, filter_options, queries
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.flow.request import Asked

LAST = 20
_EPOCH = "0"


@click.command(cls=ObserveCommand)
@click.option("-f", "--follow", is_flag=True, help="Go on with every flow from now on; Ctrl-C ends it.")
@click.option("--last", type=click.IntRange(0), metavar="N", help="The newest N flows.  [default: 20, if nothing else]")
@click.option("--first", type=click.IntRange(0), metavar="N", help="The oldest N flows.")
@click.option("--all", "everything", is_flag=True, help="All flows that are kept.")
@click.option("--since", metavar="TIME", help="From a time on: 1h, 30m or 2d (ago), 2026-01-02T03:04:05Z, seconds.")
@click.option("--until", metavar="TIME", help="Before a time.")
@filter_options
@click.option("--allowlist", multiple=True, metavar="JSON", help="Or what a filter in Hubble's JSON means. Repeatable.")
@click.option("--denylist", multiple=True, metavar="JSON", help="But not what a filter in JSON means. Repeatable.")
@click.option(
    "--print-policy-names/--no-print-policy-names",
    "policies",
    default=True,
    show_default=True,
    help="Name the policies that decided, and where the rule stands.",
)
@click.option("--print-node-name", "node", is_flag=True, help="Name the node.")
@click.option("--numeric", is_flag=True, help="Addresses in place of the names of pods.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["compact", "table", "dict", "json", "jsonpb"]),
    default="compact",
    show_default=True,
    help="Form of the output; json is Hubble's, a flow a line.",
)
@pass_session
def observe(
    session: Session,
    /,
    *,
    follow: bool,
    everything: bool,
    output: str,
    numeric: bool,
    policies: bool,
    node: bool,
    **given: Any,
) -> None:
    """Show flows: who spoke to whom, what was decided, and by which line of which policy.

    Without bounds it shows the last 20. Options of one name are alternatives, options of different names must all
    agree: --verdict DROPPED --to-pod default/web --not --from-label app=probe.
    """
    if given.pop("reverse"):
        raise click.UsageError("--not reverses the filter after it, and none follows")
    if follow and output == "table":
        raise click.UsageError("a table needs all of its rows: -o compact goes with --follow")
    allow, deny = queries(given, given["allowlist"], given["denylist"])
    asked = _bounds(given, follow=follow, everything=everything)
    style = Style(numeric=numeric, policies=policies, node=node)
    with (
        connect(session) as client,
        client.flows(allow=allow, deny=deny, asked=asked, follow=follow, form="hubble") as flows,
        # Ctrl-C is how one stops looking, not an error.
        suppress(KeyboardInterrupt),
    ):
        print_flows(flows, output, style)


def _bounds(given: dict[str, Any], *, follow: bool, everything: bool) -> Asked:
    asked: Asked = {"since": given["since"], "until": given["until"], "last": given["last"], "first": given["first"]}
    bounded = any(value is not None for value in asked.values())
    if everything and (asked["last"] is not None or asked["first"] is not None):
        raise click.UsageError("--all excludes --last and --first")
    if everything and follow and asked["since"] is None:
        return asked | {"since": _EPOCH}
    if not bounded and not everything and not follow:
        return asked | {"last": LAST}
    return asked
