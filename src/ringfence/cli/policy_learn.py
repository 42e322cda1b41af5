"""`ringfence policy learn`: a least set of policies from flows, with its proof, and what it does not cover."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import click

from ringfence.abi import Direction
from ringfence.cli.offline import say_passed_over
from ringfence.cli.output import print_json, print_line
from ringfence.cli.recorded import of_file, of_the_agent
from ringfence.cli.session import Session, pass_session
from ringfence.cli.sources import read
from ringfence.errors import BadInput
from ringfence.flow.recorded import Recording
from ringfence.policy.learning.grants import Folding, Kind
from ringfence.policy.learning.learn import BOTH, Learned, Wanted
from ringfence.policy.learning.learn import learn as learn_of
from ringfence.policy.learning.prove import Denied, Judge
from ringfence.policy.learning.seen import Connection, Observation, Seen
from ringfence.policy.learning.write import count
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.world import build_world

INCOMPLETE = 1
_SIDES = {"both": BOTH, "ingress": (Direction.INGRESS,), "egress": (Direction.EGRESS,)}


@click.command("learn")
@click.argument("paths", nargs=-1, metavar="[FILE|DIR...]")
@click.option("--flows", multiple=True, metavar="FILE", help="Recorded flows, JSON a line; - for the standard input.")
@click.option("--since", metavar="TIME", help="The agent's flows from a time on, such as 24h.")
@click.option(
    "--kind",
    type=click.Choice(get_args(Kind)),
    default="CiliumNetworkPolicy",
    show_default=True,
    help="Kind of the policies.",
)
@click.option("--by", multiple=True, metavar="LABEL", help="Mean workloads by this label. Repeatable.")
@click.option("--fold", type=click.IntRange(0, 32), default=32, help="Outside IPv4 addresses as prefixes so long.")
@click.option("--fold6", type=click.IntRange(0, 128), default=128, help="Outside IPv6 addresses as prefixes so long.")
@click.option(
    "--direction", type=click.Choice(list(_SIDES)), default="both", show_default=True, help="What to isolate."
)
@click.option("--include-denied", is_flag=True, help="Allow what policies denied, too.")
@click.option("--current", is_flag=True, help="Compare with the policies of the files, and learn nothing.")
@click.option("--drift", multiple=True, metavar="FILE", help="Report the flows of FILE that are not covered.")
@click.option("--watch", is_flag=True, help="Report the agent's flows that are not covered, as they come.")
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Form of the output."
)
@pass_session
def learn(session: Session, /, *, paths: tuple[str, ...], current: bool, output: str, **given: Any) -> None:
    """Learn a least set of policies from flows that were recorded, and prove that it is one.

    Workloads are meant by the labels that they keep, and each rule names the connections that need it. The set is
    evaluated: it allows every connection, and without any part of a rule one that is named is denied. Manifests of
    pods in FILEs give labels to ends that a recording names none for; policies among them are not taken into account
    but with --current. With --drift or --watch nothing is printed but what the set does not cover.

    Exit code 0 if all is covered; 1 if something is not, with --drift and --watch if there was drift; 2 for bad input;
    3 without an agent.
    """
    parsed = parse_documents((Source(*text) for text in read(paths)), strict=False)
    say_passed_over([parsed])
    _check(given, current=current)
    wanted = _wanted(given)
    recording = Recording(
        build_world(parsed), denied=given["include_denied"], by_address=current or wanted.kind == "NetworkPolicy"
    )
    # What comes while is learned is watched too: nothing falls between the two.
    started = f"{time.time():.6f}"
    learned = None if current else learn_of(_seen(session, recording, given), wanted)
    if given["drift"] or given["watch"]:
        judge = Judge(learned.policies if learned else parsed.policies)
        complete = _report(judge, _to_come(session, recording, given, started), output)
    else:
        assert learned is not None, "without drift the current policies are no question"
        _print(learned, output)
        complete = learned.complete
    if not complete:
        click.get_current_context().exit(INCOMPLETE)


def _check(given: dict[str, Any], *, current: bool) -> None:
    sources = bool(given["flows"]) + (given["since"] is not None)
    if current and sources:
        raise BadInput("--current compares with the policies of files: it goes with --drift or --watch alone")
    if current and not (given["drift"] or given["watch"]):
        raise BadInput("--current needs --drift FILE or --watch: what should be compared with the policies?")
    if not current and sources != 1:
        raise BadInput("flows to learn from are wanted: --flows FILE, or --since TIME from the agent")
    if given["drift"] and given["watch"]:
        raise BadInput("--drift and --watch exclude each other")


def _wanted(given: dict[str, Any]) -> Wanted:
    folding = Folding(given["fold"], given["fold6"])
    return Wanted(given["kind"], given["by"], folding, _SIDES[given["direction"]])


def _seen(session: Session, recording: Recording, given: dict[str, Any]) -> Seen:
    if given["since"] is None:
        return Seen(each for name in given["flows"] for each in of_file(recording.lines, name))
    with of_the_agent(session, recording.document, since=given["since"], follow=False) as observations:
        return Seen(observations)


def _to_come(session: Session, recording: Recording, given: dict[str, Any], started: str) -> Iterator[Observation]:
    for name in given["drift"]:
        yield from of_file(recording.lines, name)
    if given["watch"]:
        with of_the_agent(session, recording.document, since=started, follow=True) as observations:
            click.echo("watching; Ctrl-C ends it", err=True)
            yield from observations


def _report(judge: Judge, observations: Iterator[Observation], output: str) -> bool:
    """Report each connection that is not covered when it first comes. Whether there was none."""
    drifted: set[Connection] = set()
    judged: set[Connection] = set()
    try:
        for observation in observations:
            connection = observation.connection
            if connection is None or connection in judged:
                continue
            judged.add(connection)
            for denied in judge.denied([connection]):
                drifted.add(connection)
                _print_drift(denied, observation.where, output)
    except KeyboardInterrupt:
        # Ctrl-C is how one stops watching, not an error.
        pass
    click.echo(f"{count(len(judged), 'connection')}, {len(drifted)} not covered", err=True)
    return not drifted


def _print_drift(denied: Denied, where: str, output: str) -> None:
    if output == "yaml":
        click.echo(f"{where}: {denied}")
        return
    connection, decision = denied.connection, denied.judgement.ingress or denied.judgement.egress
    print_line(
        {
            "from": connection.source.name,
            "to": connection.destination.name,
            "port": str(connection.traffic),
            "first": where,
            "direction": decision.direction.name.lower() if decision else "",
            "reason": str(decision),
        }
    )


def _print(learned: Learned, output: str) -> None:
    if output == "json":
        print_json(learned.to_dict())
    else:
        click.echo(learned.text, nl=False)
    _say_what_is_missing(learned)


def _say_what_is_missing(learned: Learned) -> None:
    passed_over: Sequence[str] = [f"{number} {why}" for why, number in learned.seen.passed_over.items()]
    if passed_over:
        click.echo(f"flows passed over: {', '.join(passed_over)}", err=True)
    if not learned.drafts:
        click.echo("no flow to learn from", err=True)
    for connection, why in learned.unsayable.items():
        click.echo(f"not covered: {connection}: {why}", err=True)
    for each in (*learned.proof.denied, *learned.proof.needless):
        click.echo(f"the proof fails: {each}", err=True)
