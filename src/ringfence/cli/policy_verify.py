"""`ringfence policy verify`: the compiled policies proven against the book, without an agent and without root."""

from __future__ import annotations

import sys
from typing import Literal

import click

from ringfence.cli.offline import say_passed_over, settings_options
from ringfence.cli.output import output_option, print_json
from ringfence.cli.sources import read
from ringfence.policy.builtin import Settings
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.verify import Proof
from ringfence.policy.verify import verify as prove

REFUTED = 1
#: Subjects from which on a proof takes long enough to show how far it is, and how many times it does.
_LONG = 100


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...")
@settings_options
@output_option()
@click.pass_context
def verify(
    context: click.Context,
    *,
    paths: tuple[str, ...],
    enforcement: Literal["default", "always", "never"],
    cidr_match: Literal["nodes"] | None,
    output: str,
) -> None:
    """Prove that the compiled policies decide every packet as the policies' own words do.

    All files are taken together: policies, and the workloads beside them. The packets that could be told apart fall
    into finitely many classes; one of each is put to both, and verdict and deciding rule must be the same. Exit code 0
    if all are equal, 1 with a packet of which they are not, 2 for bad input.
    """
    parsed = parse_documents((Source(*text) for text in read(paths)), strict=False)
    say_passed_over([parsed])
    settings = Settings(enforcement=enforcement, policy_cidr_match_mode=cidr_match or "")
    proof = prove(parsed, settings, _show_progress if sys.stderr.isatty() else None)
    if output == "json":
        print_json(proof.to_dict())
    else:
        _print(proof)
    if not proof.equal:
        context.exit(REFUTED)


def _print(proof: Proof) -> None:
    found = proof.counterexample
    if found is None:
        click.echo(f"equal over {proof.classes} classes, standing for all packets")
        click.echo(f"{proof.subjects} subjects, {proof.peers} peers, {proof.entries} entries")
        return
    click.echo(f"not equal, for example: {found}")
    click.echo(f"    by the book: {found.oracle}")
    click.echo(f"    by the map:  {found.map}")


def _show_progress(done: int, of: int) -> None:
    """One line that is written over, and is gone in the end; nothing where there is little to do."""
    if of < _LONG or done % (of // _LONG):
        return
    told = f"proven: {done} of {of} subjects"
    click.echo(f"\r{told}" if done < of else f"\r{' ' * len(told)}\r", nl=False, err=True)
