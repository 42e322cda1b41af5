"""`ringfence flows`: the history of flows on disk. No agent is needed: it is read from its directory."""

from __future__ import annotations

import click

from ringfence.cli.lazy import Lazy, LazyGroup

COMMANDS = {
    "query": Lazy("ringfence.cli.flows_query:query", "Ask in SQL: select ... from flows."),
    "top": Lazy("ringfence.cli.flows_top:top", "The busiest rules, sources, destinations or ports."),
    "export": Lazy("ringfence.cli.flows_export:export", "Write flows to a parquet, CSV or JSON file."),
    "info": Lazy("ringfence.cli.flows_info:info", "How many flows there are, of when, in how many bytes."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def flows() -> None:
    """Ask what was recorded: who talked to whom, when, and by which rule it was allowed or denied."""
