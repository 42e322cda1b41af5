"""`ringfence policy history | show | rollback | confirm`: the changes that were made, and the ways back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ringfence.cli.commit_options import ALLOW_LOCKOUT, commit_options, ssh_connection
from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.policies import show_applied
from ringfence.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ringfence.api.commit_shapes import CommitDetail, CommitShape, NoteShape

REVISION = click.argument("revision", type=click.IntRange(0))
_SIGNS = {"added": "+", "changed": "~", "removed": "-", "same": "="}
_MOST_NAMED = 3


@click.command()
@click.option("--since", metavar="TIME", help="From then on: 1h, 2d (ago), or a date and time.")
@click.option("--all", "everything", is_flag=True, help="Also what became of endpoints by themselves.")
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="The last N only.")
@output_option()
@pass_session
def history(session: Session, /, *, since: str | None, everything: bool, last: int | None, output: str) -> None:
    """List the changes that were made, the newest last: when, by whom, what, and why.

    `+` is a thing that was added, `~` changed, `-` removed, `=` applied again as it was.
    """
    with connect(session) as client:
        found = client.commits(since, everything=everything)
    found = found[-last:] if last else found
    if output == "json":
        print_json(found)
        return
    rows = [_row(commit, note) for commit in found for note in commit["notes"]]
    print_table(("REVISION", "TIME", "BY", "DID", "WHAT", "WHY"), rows, right=("REVISION",))


@click.command()
@REVISION
@click.option("--state", is_flag=True, help="The policies that were in force after it, as files can be applied.")
@output_option()
@pass_session
def show(session: Session, /, *, revision: int, state: bool, output: str) -> None:
    """Show a change: who made it and why, and what it changed as a diff. Exit code 4 for one that is not kept."""
    with connect(session) as client:
        found = client.commit(revision)
    if output == "json":
        print_json(found)
    elif state:
        click.echo("\n---\n".join(_document(each["uid"], each["origin"], each["text"]) for each in found["policies"]))
    else:
        click.echo(_told(found), nl=False)


@click.command()
@REVISION
@commit_options
@ALLOW_LOCKOUT
@output_option()
@pass_session
def rollback(session: Session, /, *, revision: int, why: str, confirm: int, output: str, allow_lockout: bool) -> None:
    """Put the policies, services and entries by hand of a revision into force again, in one atomic commit.

    Endpoints stay as they are. Exit code 4 for a revision that is not kept.
    """
    with connect(session, why=why) as client:
        answer = client.roll_back(revision, confirm, ssh_connection=ssh_connection(), allow_lockout=allow_lockout)
    show_applied(answer, "brought back", output)


@click.command()
@click.option("--take-back", is_flag=True, help="Do not wait: take it back now.")
@output_option()
@pass_session
def confirm(session: Session, /, *, take_back: bool, output: str) -> None:
    """Let a change stay that was made with --confirm. Exit code 4 if none waits."""
    with connect(session) as client:
        answer = client.take_back() if take_back else client.confirm()
    show_applied(answer, "brought back", output)


def _row(commit: CommitShape, note: NoteShape) -> tuple[str, ...]:
    named = [f"{_SIGNS[what]}{thing}" for thing, what in note["changed"].items()]
    more = len(named) - _MOST_NAMED
    named = [*named[:_MOST_NAMED], f"and {more} more"] if more > 1 else named
    return str(commit["revision"]), _moment(commit["time"]), note["by"], note["did"], " ".join(named), note["why"]


def _moment(time: str) -> str:
    """To the second."""
    return time[:19].replace("T", " ")


def _told(found: CommitDetail) -> str:
    commit = found["commit"]
    lines = [f"revision {commit['revision']}, {commit['time']}"]
    for note in commit["notes"]:
        lines.append(f"{note['did']} by {note['by']}" + (f": {note['why']}" if note["why"] else ""))
        lines += [f"  {what:<8} {thing}" for thing, what in note["changed"].items()]
    return "\n".join([*lines, "", found["diff"]])


def _document(uid: str, origin: str, text: str) -> str:
    return f"# {uid}, {origin}\n{text.strip()}"
