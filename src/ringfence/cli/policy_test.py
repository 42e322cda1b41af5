"""`ringfence policy test`: the cases of PolicyTest documents, judged without an agent and without root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import click

from ringfence.cli.offline import say_passed_over, settings_options
from ringfence.cli.output import output_option, print_json
from ringfence.cli.sources import Text, read
from ringfence.errors import BadInput, Problem
from ringfence.policy.builtin import Settings
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.test import JUDGES, Report, run_tests

KERNEL = "kernel"
FAILED = 1


@click.command("test")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...")
@click.option(
    "--judge",
    type=click.Choice([*JUDGES, KERNEL]),
    default="map",
    show_default=True,
    help="By the book, by the compiled entries, or by the real program in the kernel (needs root).",
)
@settings_options
@output_option()
@click.pass_context
def test(
    context: click.Context,
    *,
    paths: tuple[str, ...],
    judge: str,
    enforcement: Literal["default", "always", "never"],
    cidr_match: Literal["nodes"] | None,
    output: str,
) -> None:
    """Judge the cases of PolicyTest documents by the policies and pods beside them. Exit code 1 if one fails.

    A file with cases is judged together with those of the files named that have none: manifests and policies may
    stand beside the cases, in the same file or in others.
    """
    settings = Settings(enforcement=enforcement, policy_cidr_match_mode=cidr_match or "")
    worlds = list(_worlds(read(paths)))
    say_passed_over(worlds)
    reports = [_judged(world, judge, settings) for world in worlds]
    if output == "json":
        print_json(_document(reports))
    else:
        for report in reports:
            _print(report)
        click.echo(f"{sum(report.passed for report in reports)} of {sum(report.cases for report in reports)} passed")
    if any(report.failed for report in reports):
        context.exit(FAILED)


def _judged(world: Parsed, judge: str, settings: Settings) -> Report:
    return _by_the_kernel(world, settings) if judge == KERNEL else run_tests(world, JUDGES[judge], settings)


def _by_the_kernel(world: Parsed, settings: Settings) -> Report:
    # It needs Linux, libbpf and root; the other judges run anywhere.
    from ringfence.datapath import features  # noqa: PLC0415 - the other judges need no kernel
    from ringfence.datapath.judge import KernelJudge  # noqa: PLC0415 - likewise

    features.require()
    with ExitStack() as stack:
        return run_tests(world, lambda compiled: stack.enter_context(KernelJudge(compiled)), settings)


def _worlds(texts: Sequence[Text]) -> Iterator[Parsed]:
    """Put together what is judged together. BadInput tells the problems of all files at once."""
    with_cases = {text: bool(parsed.tests) for text, parsed in zip(texts, _parse_each(texts), strict=True)}
    shared = [text for text, has_cases in with_cases.items() if not has_cases]
    for text, has_cases in with_cases.items():
        if has_cases:
            yield _parse([text, *shared])


def _parse_each(texts: Iterable[Text]) -> list[Parsed]:
    parsed: list[Parsed] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            parsed.append(_parse([text]))
        except BadInput as error:
            problems.extend(error.problems)
    if problems:
        raise BadInput(problems)
    return parsed


def _parse(texts: Iterable[Text]) -> Parsed:
    return parse_documents((Source(text.name, text.text) for text in texts), strict=False)


def _document(reports: list[Report]) -> dict[str, Any]:
    return {
        "cases": sum(report.cases for report in reports),
        "passed": sum(report.passed for report in reports),
        "failed": [failure.to_dict() for report in reports for failure in report.failed],
    }


def _print(report: Report) -> None:
    for failure in report.failed:
        for line in failure.lines():
            click.echo(line)
