"""What `policy graph` and `policy table` share: the part of a policy set that is asked about, and how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ringfence.cli.offline import say_passed_over, settings_options
from ringfence.cli.sources import read
from ringfence.policy.builtin import Settings
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.reach import Narrowing, Reach, reach

Command = TypeVar("Command", bound=Callable[..., Any])
_LONG = 100


def narrowing_options(command: Command) -> Command:
    """Add the files, `--namespace`, `--from`, `--to` and the settings of the agent."""
    pattern = "A group's or a workload's name, * for anything. Repeatable."
    options = (
        click.argument("paths", nargs=-1, metavar="[FILE|DIR...]"),
        click.option("--namespace", "namespaces", multiple=True, help="Only paths with an end in it. Repeatable."),
        click.option("--from", "sources", multiple=True, metavar="PATTERN", help=pattern),
        click.option("--to", "destinations", multiple=True, metavar="PATTERN", help=pattern),
    )
    command = settings_options(command)
    for each in reversed(options):
        command = each(command)
    return command


def reach_of(asked: dict[str, Any]) -> Reach:
    """The reachability that the options ask for. Without files an agent is asked for what it has. Raises BadInput."""
    paths: Sequence[str] = asked["paths"]
    parsed = _of_files(paths) if paths else _of_the_agent()
    settings = Settings(enforcement=asked["enforcement"], policy_cidr_match_mode=asked["cidr_match"] or "")
    narrowing = Narrowing(asked["namespaces"], asked["sources"], asked["destinations"])
    return reach(parsed, settings, narrowing, _show_progress if sys.stderr.isatty() else None)


def _of_files(paths: Sequence[str]) -> Parsed:
    parsed = parse_documents((Source(*text) for text in read(paths)), strict=False)
    say_passed_over([parsed])
    return parsed


def _of_the_agent() -> Parsed:
    from ringfence.cli.live_set import live_set_of_the_agent  # noqa: PLC0415 - its HTTP client is slow to import

    return live_set_of_the_agent()


def _show_progress(done: int, of: int) -> None:
    """One line that is written over, and is gone in the end; nothing where there is little to do."""
    if of < _LONG or (done < of and done % (of // _LONG)):
        return
    told = f"asked: {done} of {of} groups"
    click.echo(f"\r{told}" if done < of else f"\r{' ' * len(told)}\r", nl=False, err=True)
