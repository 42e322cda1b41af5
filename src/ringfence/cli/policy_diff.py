"""`ringfence policy diff`: what a change of policies opens and closes. Of files, without an agent and without root; or
of what an agent has in force.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ringfence.cli.offline import say_passed_over, settings_options
from ringfence.cli.output import output_option, print_json
from ringfence.cli.sources import read
from ringfence.errors import BadInput
from ringfence.flow.weighing import weigh
from ringfence.policy.builtin import Settings
from ringfence.policy.diff import Change, Group, difference
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.ports import ports_text, span_text

#: Exit codes beside 0, nothing changes. Those below are errors'.
OPENED, CLOSED, BOTH = 5, 6, 7
_MOST_NAMED = 5
_LONG = 100


@click.command("diff")
@click.argument("sides", nargs=-1, required=True, metavar="[OLD] NEW")
@click.option("--with", "beside", multiple=True, metavar="FILE|DIR", help="Taken to both sides: workloads. Repeatable.")
@click.option("--flows", metavar="FILE", help="Weigh by recorded flows: lines of observe or monitor, -o json.")
@settings_options
@output_option("markdown", "github")
@click.pass_context
def diff(context: click.Context, /, *, sides: tuple[str, ...], flows: str | None, output: str, **asked: Any) -> None:
    """Show who comes to reach whom, and who no longer does, when the policies of OLD become those of NEW.

    OLD and NEW are files or directories with policies, and workloads beside them. Without OLD the agent is asked: what
    would change if NEW were applied to the policies in force, between the workloads of its host. It is the difference
    in what gets through, not in text: groups of workloads by their labels, ports, and the rule that decides now.

    Exit code 0: nothing changes. 5: something opens. 6: something closes. 7: both.
    """
    if len(sides) > 2:
        raise BadInput(f"{len(sides)} files or directories; expected OLD and NEW, or NEW alone to ask the agent")
    both = [_parsed([path, *asked["beside"]]) for path in sides]
    say_passed_over(both)
    before, after = both if len(both) == 2 else _of_the_agent(both[0])
    settings = Settings(enforcement=asked["enforcement"], policy_cidr_match_mode=asked["cidr_match"] or "")
    changes = difference(before, after, settings, _show_progress if sys.stderr.isatty() else None)
    weights = _weights(changes, flows) if flows else None
    _FORMS[output](changes, weights)
    context.exit(_code(changes))


def _parsed(paths: Sequence[str]) -> Parsed:
    return parse_documents((Source(*text) for text in read(paths)), strict=False)


def _of_the_agent(new: Parsed) -> tuple[Parsed, Parsed]:
    """What is in force, and what would be with new policies."""
    from ringfence.cli.live_set import laid_over, live_set_of_the_agent  # noqa: PLC0415 - its HTTP client is slow

    live = live_set_of_the_agent()
    return live, laid_over(live, new)


def _weights(changes: Sequence[Change], path: str) -> list[int]:
    try:
        with Path(path).open(encoding="utf-8") as lines:
            return weigh(changes, lines, path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error


def _code(changes: Iterable[Change]) -> int:
    kinds = {each.opened for each in changes}
    return 0 if not kinds else BOTH if len(kinds) > 1 else OPENED if True in kinds else CLOSED


def _text(changes: Sequence[Change], weights: Sequence[int] | None) -> None:
    for index, each in enumerate(changes):
        word = click.style("opens ", fg="green") if each.opened else click.style("closes", fg="red")
        weight = f"  ({_used(weights[index])})" if weights else ""
        click.echo(f"{word} {_names(each.sources)} -> {_names(each.destinations)}: {ports_text(each.ports)}{weight}")
        if each.rule:
            click.echo(f"       {each.rule.text}")
    click.echo(summary(changes, weights))


def _names(groups: Sequence[Group]) -> str:
    shown = [each.name for each in groups[:_MOST_NAMED]]
    rest = len(groups) - _MOST_NAMED
    return ", ".join([*shown, f"{rest} more"] if rest > 0 else shown)


def _used(count: int) -> str:
    return f"used {count} times" if count else "never used"


def summary(changes: Sequence[Change], weights: Sequence[int] | None = None) -> str:
    """One line: how many paths, pairs of groups, open and close; with weights how often they were used."""
    return "; ".join(_summed(changes, weights)) or "nothing changes: both let the same through"


def _summed(changes: Sequence[Change], weights: Sequence[int] | None) -> Iterator[str]:
    for opened, word in ((True, "opens"), (False, "closes")):
        chosen = [index for index, each in enumerate(changes) if each.opened is opened]
        paths = sum(len(changes[index].sources) * len(changes[index].destinations) for index in chosen)
        if paths:
            used = f" {_used(sum(weights[index] for index in chosen))}" if weights else ""
            yield f"{word} {paths} {'path' if paths == 1 else 'paths'}{used}"


def _json(changes: Sequence[Change], weights: Sequence[int] | None) -> None:
    told = [_document(each, weights[at] if weights else None) for at, each in enumerate(changes)]
    print_json({"changes": told})


def _document(change: Change, weight: int | None) -> dict[str, Any]:
    rule = change.rule
    return {
        "change": "opens" if change.opened else "closes",
        "sources": [{"name": each.name, "labels": list(each.labels)} for each in change.sources],
        "destinations": [{"name": each.name, "labels": list(each.labels)} for each in change.destinations],
        "ports": [span_text(each) for each in change.ports],
        "rule": {"policy": rule.policy, "text": rule.text, "origin": rule.origin} if rule else None,
        "flows": weight,
    }


def _markdown(changes: Sequence[Change], weights: Sequence[int] | None) -> None:
    click.echo(f"**Policies:** {summary(changes, weights)}\n")
    if not changes:
        return
    click.echo(f"| | from | to | ports | rule |{' flows |' if weights else ''}")
    click.echo(f"|---|---|---|---|---|{'---|' if weights else ''}")
    for index, each in enumerate(changes):
        rule = each.rule.text.replace("|", "\\|") if each.rule else ""
        cells = ["opens" if each.opened else "**closes**", _names(each.sources), _names(each.destinations)]
        cells += [ports_text(each.ports), rule, *([str(weights[index])] if weights else [])]
        click.echo(f"| {' | '.join(cells)} |")


def _github(changes: Sequence[Change], weights: Sequence[int] | None) -> None:
    """Workflow commands: a note at the line of each rule."""
    for each in changes:
        file, _, line = (each.rule.origin if each.rule else "").rpartition(":")
        place = f" file={file},line={line}" if file else ""
        word = "opens" if each.opened else "closes"
        told = f"{word} {_names(each.sources)} -> {_names(each.destinations)}: {ports_text(each.ports)}"
        click.echo(f"::{'warning' if each.opened else 'notice'}{place}::{told}")
    click.echo(f"::notice::{summary(changes, weights)}")


_FORMS = {"table": _text, "json": _json, "markdown": _markdown, "github": _github}


def _show_progress(done: int, of: int) -> None:
    """One line that is written over, and is gone in the end; nothing where there is little to do."""
    if of < _LONG or (done < of and done % (of // _LONG)):
        return
    told = f"compared: {done} of {of} workloads"
    click.echo(f"\r{told}" if done < of else f"\r{' ' * len(told)}\r", nl=False, err=True)
