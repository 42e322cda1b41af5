"""`ringfence policy apply | delete | list | get`: the policies that an agent enforces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from ringfence.cli.commit_options import ALLOW_LOCKOUT, commit_options, ssh_connection
from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_table
from ringfence.cli.preview_text import show_preview
from ringfence.cli.session import Session, pass_session
from ringfence.cli.sources import read

if TYPE_CHECKING:
    from ringfence.api.shapes import Applied, ProblemShape

FILES = click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...")


@click.command()
@FILES
@commit_options
@ALLOW_LOCKOUT
@click.option("--preview", is_flag=True, help="Apply nothing: show what it would cut, and open of what was denied.")
@click.option("--gate", is_flag=True, help="Refuse it where it would cut a live connection, or a PolicyTest fails.")
@output_option()
@pass_session
@click.pass_context
def apply(
    context: click.Context, session: Session, /, *, paths: tuple[str, ...], preview: bool, output: str, **how: Any
) -> None:
    """Put the policies of files into force, all in one atomic commit; `-` reads standard input.

    A policy of the same kind, namespace and name is replaced. With one error in any file nothing is applied.

    With --preview exit code 0: nothing is cut and nothing opens. 5: denials of the last hour would be allowed. 6: live
    connections would be cut. 7: both.
    """
    sources = read(paths)
    with connect(session, why=how.pop("why")) as client:
        if preview:
            context.exit(show_preview(client.preview(sources), output))
        confirm = how.pop("confirm")
        answer = client.apply_policies(sources, confirm_seconds=confirm, ssh_connection=ssh_connection(), **how)
    show_applied(answer, "applied", output)


@click.command()
@click.argument("uids", nargs=-1, required=True, metavar="[[KIND/]NAMESPACE/]NAME...")
@commit_options
@ALLOW_LOCKOUT
@output_option()
@pass_session
def delete(
    session: Session, /, *, uids: tuple[str, ...], why: str, confirm: int, output: str, allow_lockout: bool
) -> None:
    """Take policies out of force, all in one atomic commit."""
    with connect(session, why=why) as client:
        answer = client.delete_policies(uids, confirm, ssh_connection=ssh_connection(), allow_lockout=allow_lockout)
    show_applied(answer, "deleted", output)


@click.command("list")
@output_option()
@pass_session
def list_policies(session: Session, output: str) -> None:
    """List the policies in force."""
    with connect(session) as client:
        policies = client.policies()
    if output == "json":
        print_json(policies)
    else:
        rows = ((found["uid"], found["rules"], found["origin"]) for found in policies)
        print_table(("POLICY", "RULES", "WRITTEN AT"), rows, right=("RULES",))


@click.command()
@click.argument("uid", metavar="[[KIND/]NAMESPACE/]NAME")
@output_option()
@pass_session
def get(session: Session, uid: str, output: str) -> None:
    """Show a policy as it was written."""
    with connect(session) as client:
        found = client.policy(uid)
    if output == "json":
        print_json(found)
    else:
        click.echo(f"# {found['uid']}, {found['origin']}\n{found.get('text', '').rstrip()}")


def show_applied(answer: Applied, done: str, output: str) -> None:
    """Tell what a commit applied or deleted."""
    if output == "json":
        print_json(answer)
        return
    for uid in answer["applied"]:
        click.echo(f"{uid} {done}")
    click.echo(f"revision {answer['revision']}, active after {answer['milliseconds']:.2f} ms")
    if "goes_back_at" in answer:
        click.echo(f"goes back at {answer['goes_back_at']}; to let it stay: ringfence policy confirm")
    _warn(answer["warnings"])


def _warn(warnings: Iterable[ProblemShape]) -> None:
    """Warnings go where errors go, so that output that is read by a program stays clean."""
    for warning in warnings:
        place = f"{warning['file']}:{warning['line']}:{warning['column']}"
        click.echo(f"{place}: warning: {warning['found']}; expected {warning['expected']}", err=True)
