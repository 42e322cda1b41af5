"""`ringfence policy check`: what is well formed in policies but hardly meant, without an agent and without root."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import click

from ringfence.cli.offline import say_passed_over
from ringfence.cli.output import print_json
from ringfence.cli.sources import read
from ringfence.errors import BadInput
from ringfence.policy.check import check_parsed
from ringfence.policy.findings import Finding, Severity
from ringfence.policy.parse import Source, parse_documents

FOUND = 1
#: GitHub's words for how bad something is.
_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@click.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...")
@click.option("--strict", is_flag=True, help="Warnings are exit code 1 too.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="Lines for people, JSON, or annotations for GitHub's workflows.",
)
@click.pass_context
def check(context: click.Context, *, paths: tuple[str, ...], strict: bool, output: str) -> None:
    """Find what is well formed in policies but hardly meant; every finding has a place and says why it matters.

    All files are taken together. With pods among them it is also found what selects none of them, which ports and
    addresses they do not have, and who is cut off from DNS.

    Exit code 0 if nothing is worse than info, or without --strict than a warning; 1 for an error, with --strict for a
    warning too; 2 for bad input. The codes are explained in docs/check.md.
    """
    try:
        sources = [Source(*text) for text in read(paths)]
        parsed = parse_documents(sources, strict=False)
    except BadInput as error:
        if output == "github":
            for problem in error.problems:
                told = f"{problem.found}; expected {problem.expected}"
                click.echo(_annotation("error", problem.file, problem.line, problem.column, "bad input", told))
        raise
    say_passed_over([parsed])
    findings = check_parsed(sources, parsed)
    counts = Counter(finding.severity for finding in findings)
    if output == "json":
        listed = [finding.to_dict() for finding in findings]
        print_json({"findings": listed, **{f"{each}s": counts[each] for each in _SEVERITIES}})
    else:
        for line in _lines(findings, output):
            click.echo(line)
        if output == "text":
            click.echo(", ".join(f"{counts[each]} {each}{'' if counts[each] == 1 else 's'}" for each in _SEVERITIES))
    if counts["error"] or (strict and counts["warning"]):
        context.exit(FOUND)


def _lines(findings: Iterable[Finding], output: str) -> Iterable[str]:
    if output == "text":
        return map(str, findings)
    return (
        _annotation(
            _LEVELS[each.severity],
            each.file,
            each.line,
            each.column,
            f"{each.kind.code} {each.kind.title}",
            f"{each.found}; {each.kind.why}",
        )
        for each in findings
    )


def _annotation(level: str, file: str, line: int, column: int, title: str, told: str) -> str:
    """A workflow command; its properties are separated by commas and ended by a colon, so these are escaped."""
    properties = {"file": file, "line": str(line), "col": str(column), "title": title}
    written = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    return f"::{level} {written}::{_escaped(told)}"


def _escaped(text: str, also: str = "") -> str:
    for letter in "%\r\n" + also:
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text
