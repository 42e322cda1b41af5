"""`ringfence explain`: why a flow is allowed or denied, by files alone, or by an agent of its live state."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from ringfence.api.explaining import AskedEnd, ExplainRequest
from ringfence.cli.explain_text import lines
from ringfence.cli.offline import say_passed_over, settings_options
from ringfence.cli.output import output_option, print_json
from ringfence.cli.session import Session, pass_session
from ringfence.cli.sources import read
from ringfence.errors import BadInput
from ringfence.flow.pasted import Pasted, read_pasted
from ringfence.policy.builtin import Settings
from ringfence.policy.explanation.who import Asked
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.world import build_world
from ringfence.service.explaining import explain_flow
from ringfence.traffic import parse_traffic


@click.command()
@click.argument("arguments", nargs=-1, metavar="[FLOW] [FILE|DIR...]")
@click.option("--from", "source", metavar="END", help="Who opens the connection.")
@click.option("--to", "destination", metavar="END", help="To whom.")
@click.option("--port", metavar="PORT", help="To which port, such as 8080/TCP or echo-request/ICMP.")
@click.option("--source-port", type=click.IntRange(1, 65535), help="From which port; replies are known by it.")
@click.option("--limit", type=click.IntRange(1), default=5, show_default=True, help="How many near misses at most.")
@click.option("--at", metavar="TIME", help="As it was then: 1h, 2d (ago), or a date and time. Of the agent only.")
@settings_options
@output_option()
@pass_session
def explain(
    session: Session,
    /,
    *,
    arguments: tuple[str, ...],
    limit: int,
    at: str | None,
    enforcement: Literal["default", "always", "never"],
    cidr_match: Literal["nodes"] | None,
    output: str,
    **flow: Any,
) -> None:
    """Say why a flow is allowed or denied, by which line, and what nearly made it otherwise.

    The flow is --from, --to and --port; or FLOW, a line or the JSON of `monitor` or `observe`; or one of these on the
    standard input. An end is NAMESPACE/NAME, an address, a prefix, or an entity such as world or host; a destination
    may be service/NAMESPACE/NAME or a service's address. With files it is asked of the policies, workloads and
    services in them, else of the agent. Exit code 2 for bad input, 4 for a workload or service that is not known.
    """
    asked, paths = _asked(flow, arguments)
    if paths and at:
        raise BadInput("--at asks the agent: files have no past")
    if paths:
        document = _of_files(
            asked, paths, limit, Settings(enforcement=enforcement, policy_cidr_match_mode=cidr_match or "")
        )
    else:
        document = _of_the_agent(session, asked, limit, at)
    if output == "json":
        print_json(document)
    else:
        for line in lines(document):
            click.echo(line)


def _asked(flow: Mapping[str, Any], arguments: Sequence[str]) -> tuple[Pasted, Sequence[str]]:
    """The flow that is asked about, and the files to ask."""
    ends = [flow["source"], flow["destination"], flow["port"]]
    if all(ends):
        return _of_options(flow), arguments
    if any(ends) or flow["source_port"]:
        raise BadInput("--from, --to and --port belong together")
    if arguments and arguments[0] != "-" and not _is_path(arguments[0]):
        return read_pasted(arguments[0]), arguments[1:]
    if sys.stdin.isatty():
        raise BadInput("no flow: name one by --from, --to and --port, or give a line of `ringfence monitor`")
    return read_pasted(sys.stdin.read()), arguments[1:] if arguments[:1] == ("-",) else arguments


def _is_path(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # longer than a name can be
        return False


def _of_options(flow: Mapping[str, Any]) -> Pasted:
    try:
        traffic = parse_traffic(flow["port"])
    except ValueError as error:
        raise BadInput(str(error)) from error
    return Pasted(Asked(flow["source"]), Asked(flow["destination"]), traffic, flow["source_port"])


def _of_files(asked: Pasted, paths: Sequence[str], limit: int, settings: Settings) -> dict[str, Any]:
    parsed = parse_documents((Source(*text) for text in read(paths)), strict=False)
    say_passed_over([parsed])
    return explain_flow(build_world(parsed, (), settings), *asked, most=limit)


def _of_the_agent(session: Session, asked: Pasted, limit: int, at: str | None) -> dict[str, Any]:
    from ringfence.cli.connection import connect  # noqa: PLC0415 - its HTTP client is slow to import

    request: ExplainRequest = {
        "source": _end(asked.source),
        "destination": _end(asked.destination),
        "port": str(asked.traffic),
        "source_port": asked.source_port,
        "limit": limit,
        "at": at,
    }
    with connect(session) as client:
        return dict(client.explain(request))


def _end(asked: Asked) -> AskedEnd:
    return {"name": asked.name, "address": asked.address, "labels": list(asked.labels)}
