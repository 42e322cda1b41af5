"""`ringfence policy replay`: recorded flows judged by a proposed policy set, and what would have gone otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from ringfence.cli.offline import say_passed_over, settings_options
from ringfence.cli.output import output_option, print_json
from ringfence.cli.policy_diff import BOTH, CLOSED, OPENED
from ringfence.cli.recorded import of_file, of_the_agent
from ringfence.cli.session import Session, pass_session
from ringfence.cli.sources import read
from ringfence.errors import BadInput
from ringfence.flow.replayed import Replaying
from ringfence.policy.builtin import Settings
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.replay import Alteration, History, Past, Replayed, Said
from ringfence.policy.replay import replay as replay_of
from ringfence.policy.world import build_world

_MOST_NAMED = 5
#: Flows read, and connections judged, from which on it is shown how far it is.
_STEP = 20_000


@click.command("replay")
@click.argument("new", nargs=-1, required=True, metavar="NEW...")
@click.option("--flows", multiple=True, metavar="FILE", help="Recorded flows, JSON a line; - for the standard input.")
@click.option("--since", metavar="TIME", help="The agent's flows from a time on, such as 24h.")
@click.option(
    "--old", multiple=True, metavar="FILE|DIR", help="Compare with these policies, not with what was recorded."
)
@settings_options
@output_option("markdown")
@pass_session
@click.pass_context
def replay(
    context: click.Context,
    session: Session,
    /,
    *,
    new: tuple[str, ...],
    flows: tuple[str, ...],
    since: str | None,
    old: tuple[str, ...],
    output: str,
    **asked: Any,
) -> None:
    """Judge recorded flows by the policies of NEW, and show what would have been decided otherwise.

    NEW are files or directories with policies, and workloads beside them. Told are groups of workloads, port, what was
    and what would have been, when and how often it was seen, who took part, and the rules responsible. Replies and
    ICMP errors are not judged; they belong to the connection that they answer.

    Exit code 0: nothing changes. 5: denied flows would be allowed. 6: allowed flows would be denied. 7: both.
    """
    if bool(flows) + (since is not None) != 1:
        raise BadInput("flows to judge are wanted: --flows FILE, or --since TIME from the agent")
    sides = [_parsed(paths) for paths in (new, old) if paths]
    say_passed_over(sides)
    settings = Settings(enforcement=asked["enforcement"], policy_cidr_match_mode=asked["cidr_match"] or "")
    history = _history(session, Replaying(build_world(sides[0], (), settings)), flows, since)
    shown = _show_judged if sys.stderr.isatty() else None
    found = replay_of(history, sides[0], settings, old=sides[1] if old else None, progress=shown)
    _FORMS[output](found)
    _say_what_is_unknown(found)
    context.exit(_code(found))


def _parsed(paths: Sequence[str]) -> Parsed:
    return parse_documents((Source(*text) for text in read(paths)), strict=False)


def _history(session: Session, replaying: Replaying, names: Iterable[str], since: str | None) -> History:
    if since is None:
        return History(_counted(each for name in names for each in of_file(replaying.lines, name)))
    with of_the_agent(session, replaying.document, since=since) as flows:
        return History(_counted(flows))


def _counted(flows: Iterator[Past]) -> Iterator[Past]:
    """The same flows; on a terminal their number is shown as they are read."""
    if not sys.stderr.isatty():
        yield from flows
        return
    for number, each in enumerate(flows, 1):
        if not number % _STEP:
            click.echo(f"\rread: {number} flows", nl=False, err=True)
        yield each
    click.echo(f"\r{' ' * 30}\r", nl=False, err=True)


def _show_judged(done: int, of: int) -> None:
    """One line that is written over, and is gone in the end; nothing where there is little to do."""
    if of >= _STEP:
        told = f"judged: {done} of {of} connections"
        click.echo(f"\r{told}" if done < of else f"\r{' ' * len(told)}\r", nl=False, err=True)


def _code(found: Replayed) -> int:
    if found.opened and found.closed:
        return BOTH
    return OPENED if found.opened else CLOSED if found.closed else 0


def _text(found: Replayed) -> None:
    for each in found.changes:
        word = click.style("opens ", fg="green") if each.opened else click.style("closes", fg="red")
        click.echo(f"{word} {each.source} -> {each.destination} {each.port}: {each.was} -> {each.would}")
        click.echo(f"       {_seen(each)}")
        click.echo(f"       {_names(each.sources)} -> {_names(each.destinations)}")
        click.echo(f"       was: {_rules(each.old_rules) or 'by a rule that was not recorded'}")
        click.echo(f"       now: {_rules(each.new_rules) or 'no policy speaks of it'}")
    click.echo(summary(found))


def _seen(each: Alteration) -> str:
    times = f", {each.first} to {each.last}" if each.first and each.first != each.last else ""
    once = f", at {each.first}" if each.first and each.first == each.last else ""
    return f"{count(each.flows, 'flow')}{times}{once}"


def count(number: int, word: str) -> str:
    """`1 flow`, `2 flows`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _names(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join([*names[:_MOST_NAMED], *([f"{rest} more"] if rest > 0 else [])])


def _rules(rules: Sequence[Said]) -> str:
    """Texts of rules; those of our own name their place, and others get it behind them."""
    told = [each.text if each.origin in each.text else f"{each.text}, {each.origin}" for each in rules]
    return "; ".join([*told[:_MOST_NAMED], *([f"{len(told) - _MOST_NAMED} more"] if len(told) > _MOST_NAMED else [])])


def summary(found: Replayed) -> str:
    """One line: how many flows would be decided otherwise, and of how many."""
    told = []
    if found.closed:
        told.append(f"{count(found.closed, 'flow')} would be denied")
    if found.opened:
        told.append(f"{count(found.opened, 'flow')} would be allowed")
    of = f"of {count(found.judged, 'flow')} of {count(found.connections, 'connection')}"
    return f"{', '.join(told) or 'nothing changes'}, {of}"


def _markdown(found: Replayed) -> None:
    click.echo(f"**Replay:** {summary(found)}\n")
    if not found.changes:
        return
    click.echo("| | from | to | port | was | would be | flows | first | last | old rule | new rule |")
    click.echo(f"|{'---|' * 11}")
    for each in found.changes:
        cells = ["opens" if each.opened else "**closes**", each.source, each.destination, each.port, each.was]
        cells += [each.would, str(each.flows), each.first, each.last, _rules(each.old_rules), _rules(each.new_rules)]
        click.echo(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")


def _say_what_is_unknown(found: Replayed) -> None:
    if found.passed_over:
        told = ", ".join(f"{number} {why}" for why, number in found.passed_over.items())
        click.echo(f"flows not judged: {told}", err=True)
    for word, counts in (("not judged", found.nameless), ("judged by recorded labels", found.strangers)):
        if counts:
            named = _names([f"{name} ({count(flows, 'flow')})" for name, flows in counts.items()])
            click.echo(f"in no manifest of the set, {word}: {named}", err=True)


_FORMS = {"table": _text, "json": lambda found: print_json(found.to_dict()), "markdown": _markdown}
