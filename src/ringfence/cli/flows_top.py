"""`ringfence flows top`: the busiest of something, in the history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ringfence.cli.flows_history import between, directory_option, place, print_rows, times_options
from ringfence.cli.output import output_option
from ringfence.cli.session import Session, pass_session

VERDICTS = {"DROPPED": "verdict = 'deny'", "FORWARDED": "verdict = 'allow'"}
# A reply is told with its connection: its source is whom the connection was opened to.
_OPENER, _ANSWERER = (
    {
        name: f"CASE WHEN status = 'reply' THEN {reply}_{name} ELSE {side}_{name} END"
        for name in ("endpoint", "address", "labels")
    }
    for side, reply in (("source", "destination"), ("destination", "source"))
)
COLUMNS = {
    "rule": {"rule": "rule", "policy": "policy", "origin": "origin", "verdict": "verdict"},
    "source": {"source": f"coalesce({_OPENER['endpoint']}, {_OPENER['address']})", "labels": _OPENER["labels"]},
    "destination": {
        "destination": f"coalesce({_ANSWERER['endpoint']}, {_ANSWERER['address']})",
        "labels": _ANSWERER["labels"],
    },
    "port": {"port": "port"},
}
COUNTS = {
    "flows": "count(*)",
    "denied": "count(*) FILTER (verdict = 'deny')",
    "packets": "coalesce(sum(packets + reply_packets) FILTER (accounts_for(kind, verdict)), 0)",
    "bytes": "coalesce(sum(bytes + reply_bytes) FILTER (accounts_for(kind, verdict)), 0)",
    "last": "max(time)",
}


@click.command()
@click.option("--by", type=click.Choice(list(COLUMNS)), required=True, help="What to count flows by.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many to show.")
@click.option(
    "--verdict", type=click.Choice(list(VERDICTS), case_sensitive=False), help="Only flows with this verdict."
)
@times_options
@directory_option
@output_option("csv")
@pass_session
def top(session: Session, /, *, by: str, output: str, directory: Path | None, **asked: Any) -> None:
    """Show the busiest rules, sources, destinations or ports, with how many flows each had.

    Packets and bytes are those that ends of connections, denials and single packets tell; denials that were held back
    count with the one that tells of them.
    """
    where = place(session, directory)
    from ringfence.history.database import opened  # noqa: PLC0415 - comes with an extra, and is slow to import

    since, until = asked["since"], asked["until"]
    condition, parameters = between(since, until)
    with opened(where, since=since, until=until) as database:
        print_rows(database.select(statement(by, condition, asked["verdict"]), [*parameters, asked["limit"]]), output)


def statement(by: str, condition: str, verdict: str | None) -> str:
    """The SELECT, with a parameter for how many."""
    chosen = ", ".join(f"{what} AS {name}" for name, what in (COLUMNS[by] | COUNTS).items())
    groups = ", ".join(map(str, range(1, len(COLUMNS[by]) + 1)))
    wanted = f"{condition} AND {VERDICTS[verdict]}" if verdict else condition
    grouped = f"GROUP BY {groups} ORDER BY flows DESC, {groups} LIMIT ?"
    return f"SELECT {chosen} FROM flows WHERE {wanted} {grouped}"  # noqa: S608 - put together of constants
