"""`ringfence demo`: a policy at work between three workloads, and one of its rules flipped while they talk."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from time import monotonic
from typing import Any

import click

from ringfence.cli.output import print_json, print_table
from ringfence.cli.session import Session, pass_session
from ringfence.lab.demo import PHASES, Demo, running
from ringfence.lab.traffic import PATIENCE

DEFAULT_DEMO = "demo"
DEFAULT_SECONDS = 12.0
# Taking everything down takes about a second.
END_SECONDS = 1.0
SHORTEST_PHASE = 0.5

Flip = Callable[[Demo, float | None], None]


@click.command()
@click.option("--headless", is_flag=True, help="No screen: print a JSON summary on standard output.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help=f"About how long it takes in all.  [default: {DEFAULT_SECONDS:.0f}; on a terminal until Q is pressed]",
)
@pass_session
def demo(session: Session, *, headless: bool, seconds: float | None) -> None:
    """Watch a policy decide: ping, port 80 and port 8080 from a frontend and a stranger to a backend.

    On a terminal it opens the dashboard: A allows and D denies the chosen flow, at first that to port 8080, and Q ends
    it. Everything is made in network namespaces of its own and removed at the end.
    """
    # Asked to end, it ends as by Ctrl-C: with everything removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end = None if seconds is None else monotonic() + seconds
    by_the_clock = headless or not (sys.stdin.isatty() and sys.stdout.isatty())
    flip = _flip_by_the_clock if by_the_clock else _dashboard()
    with running(session.instance or DEFAULT_DEMO, _say) as show:
        flip(show, end)
        show.stop()
        totals = show.summary()
    if headless:
        print_json(totals)
    else:
        _print_totals(totals)


def _say(message: str) -> None:
    click.echo(message, err=True)


def _dashboard() -> Flip:
    """Find out whether there is what draws the dashboard, before a lab is made for it."""
    from ringfence.lab.demo_dashboard import watch  # noqa: PLC0415 - textual takes longer to import than all else

    return lambda show, end: watch(show, None if end is None else end - END_SECONDS)


def _flip_by_the_clock(show: Demo, end: float | None) -> None:
    """Give each phase a third of the time that is left, open the port after the first and block it after the second."""
    end = end or monotonic() + DEFAULT_SECONDS
    waits = len(PHASES) * PATIENCE + END_SECONDS
    phase_seconds = max(SHORTEST_PHASE, (end - monotonic() - waits) / len(PHASES))
    pause = Event()
    with suppress(KeyboardInterrupt):
        _say(f"phase {show.phase}: port 8080 blocked")
        for open_port in (True, False):
            pause.wait(phase_seconds)
            _flip(show, open_port=open_port)
        pause.wait(phase_seconds)


def _flip(show: Demo, *, open_port: bool) -> None:
    milliseconds = show.flip(open_port=open_port)
    now = "open" if open_port else "blocked"
    _say(f"phase {show.phase}: port 8080 {now}; the first packet was judged by it {milliseconds:.2f} ms after the call")


def _print_totals(totals: dict[str, Any]) -> None:
    columns = ("FROM", "TO", "PORT", "PHASE", "SENT", "RECEIVED")
    print_table(columns, (tuple(flow.values()) for flow in totals["flows"]), right=columns[4:])
    counters, events = totals["counters"], totals["events"]
    click.echo(f"packets: {counters['allowed']} allowed, {counters['denied']} denied")
    click.echo(f"events: {events['seen']} seen, {events['lost']} lost")
    if totals["time_to_enforcement_ms"] is not None:
        click.echo(f"from the call to the first packet judged by it: {totals['time_to_enforcement_ms']:.2f} ms")
