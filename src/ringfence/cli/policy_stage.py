"""`ringfence policy stage | staged | promote | unstage`: policies tried out on live traffic, without effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ringfence.cli.commit_options import ALLOW_LOCKOUT, ssh_connection
from ringfence.cli.connection import connect
from ringfence.cli.output import output_option, print_json, print_line
from ringfence.cli.policies import FILES, show_applied
from ringfence.cli.session import Session, pass_session
from ringfence.cli.sources import read

if TYPE_CHECKING:
    from ringfence.api.staged_shapes import Disagreement, RuleShape, StagedShape

DISAGREES = 1
WHY = click.option("-m", "--message", "why", default="", metavar="TEXT", help="Why, for `policy history`.")
_WOULD = {"allow": "would be allowed", "deny": "would be denied"}


@click.command()
@FILES
@click.option("--delete", "gone", multiple=True, metavar="POLICY", help="As if this one were deleted. Repeatable.")
@click.option("--only", is_flag=True, help="As if all policies were deleted that the files do not say.")
@WHY
@output_option()
@pass_session
def stage(
    session: Session, /, *, paths: tuple[str, ...], gone: tuple[str, ...], only: bool, why: str, output: str
) -> None:
    """Let the kernel judge live traffic by policies that are not in force, beside those that are, and without effect.

    Judged is what would be in force if the files were applied. What was staged before is dropped. `policy staged` then
    shows where the two disagree, `policy promote` applies exactly this.
    """
    sources = read(paths)
    with connect(session, why=why) as client:
        answer = client.stage(sources, gone, only=only)
    show_applied(answer, "staged", output)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Show disagreements as they come; Ctrl-C ends it.")
@output_option()
@pass_session
@click.pass_context
def staged(context: click.Context, session: Session, /, *, follow: bool, output: str) -> None:
    """Show what is staged, and what of live traffic it would judge otherwise, and by which rule.

    Live connections are judged once when something is staged, later ones when they begin. Exit code 1 if there are
    disagreements.
    """
    with connect(session) as client:
        if follow:
            with client.disagreements() as found:
                _follow(found, output)
            return
        shape = client.staged()
    if output == "json":
        print_json(shape)
    else:
        for line in _lines(shape):
            click.echo(line)
    if shape["disagreements"] or shape["others"]:
        context.exit(DISAGREES)


@click.command()
@WHY
@ALLOW_LOCKOUT
@output_option()
@pass_session
def promote(session: Session, /, *, why: str, output: str, allow_lockout: bool) -> None:
    """Bring exactly what is staged into force, in one atomic commit. Exit code 4 if nothing is."""
    with connect(session, why=why) as client:
        answer = client.promote(ssh_connection=ssh_connection(), allow_lockout=allow_lockout)
    show_applied(answer, "promoted", output)


@click.command()
@output_option()
@pass_session
def unstage(session: Session, output: str) -> None:
    """Drop what is staged. Exit code 4 if nothing is."""
    with connect(session) as client:
        answer = client.unstage()
    show_applied(answer, "dropped", output)


def _follow(found: Iterator[Any], output: str) -> None:
    try:
        for each in found:
            if output == "json":
                print_line(each)
            elif "lost" in each:
                click.echo(f"{each['lost']} were lost", err=True)
            else:
                click.echo(f"{each['flow']['time']}  {_path(each)}")
    except KeyboardInterrupt:
        # Ctrl-C is how one stops following, not an error.
        pass


def _lines(shape: StagedShape) -> Iterator[str]:
    if not shape["policies"] and not shape["since"]:
        yield "nothing is staged"
        return
    yield f"staged since {shape['since']}:" if shape["since"] else "policies in shadow mode:"
    for policy in shape["policies"]:
        yield f"  {policy['change']:<8} {policy['uid']}  {policy['origin']}".rstrip()
    if not shape["policies"]:
        yield "  the same as is in force"
    if not shape["disagreements"]:
        yield "no disagreement was seen"
    for each in shape["disagreements"]:
        yield f"{each['flows']:>8} x {_path(each)}"
    if shape["others"]:
        yield f"{shape['others']:>8} x on other paths"


def _path(found: Disagreement) -> str:
    flow = found["flow"]
    color = "green" if found["would"] == "allow" else "red"
    would = click.style(_WOULD[found["would"]], fg=color)
    ends = f"{_name(flow['source'])} -> {_name(flow['destination'])} {flow['port']}"
    return f"{ends} {would}: {_text(found['staged_rule'])}; now: {_text(found['active_rule'])}"


def _name(end: dict[str, Any]) -> str:
    return str(end["endpoint"] or end["address"])


def _text(rule: RuleShape | None) -> str:
    return rule["text"] if rule else "no rule"
