"""The demo's screen: what was tried and answered on top, the newest verdicts below, and the keys at the bottom."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ringfence.cli.monitor import rule_text
from ringfence.lab.demo import PHASES, Demo

if TYPE_CHECKING:
    from ringfence.api.shapes import FlowShape, Party

STYLES = {"allow": "bold green", "deny": "bold red"}
NAMESPACE = "k8s:io.kubernetes.pod.namespace="
LEFT_FOR_TOTALS = 14


class Keys:
    """Key presses, one at a time and without Enter; the terminal is put back at the end."""

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def pressed(self, seconds: float) -> str | None:
        """Wait for a key for some seconds; letters come in lower case."""
        ready = select.select([sys.stdin], [], [], seconds)[0]
        # Past the buffer of sys.stdin, which select knows nothing of.
        return os.read(sys.stdin.fileno(), 1).decode(errors="replace").lower() if ready else None


class Screen:
    """The live view of a demo."""

    def __init__(self, show: Demo) -> None:
        self._show = show
        self._console = Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._flips: list[float] = []

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.__exit__(kind, error, at)

    def flipped(self, milliseconds: float) -> None:
        """Take in how long a flip took to be judged by."""
        self._flips.append(milliseconds)

    def refresh(self) -> None:
        """Draw what is known now."""
        self._live.update(Group(self._state(), self._totals(), self._verdicts(), _keys()), refresh=True)

    def _state(self) -> Text:
        now = ("OPEN", "bold green") if self._show.open else ("BLOCKED", "bold red")
        took = f"; the last flip judged its first packet after {self._flips[-1]:.2f} ms" if self._flips else ""
        return Text.assemble("Port 8080 of the backend is ", now, took, "\n")

    def _totals(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("FROM", "TO", "PORT", *PHASES):
            table.add_column(heading if heading.isupper() else f"{heading} (answered/sent)")
        for stream in (stream for streams in self._show.streams.values() for stream in streams):
            counts = [self._show.counts(stream, phase) for phase in PHASES]
            table.add_row(stream.source, stream.destination, stream.port, *map(_ratio, counts))
        return table

    def _verdicts(self) -> Table:
        room = max(3, self._console.height - LEFT_FOR_TOTALS)
        table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
        for heading in ("TIME", "VERDICT", "FROM", "TO", "PORT", "RULE"):
            table.add_column(heading, no_wrap=True, overflow="ellipsis")
        for flow in list(self._show.watcher.newest)[-room:]:
            table.add_row(*_verdict(flow))
        return table


def _verdict(flow: FlowShape) -> tuple[Text | str, ...]:
    verdict = Text(flow["verdict"].upper(), style=STYLES.get(flow["verdict"], ""))
    time = flow["time"].partition("T")[2].rstrip("Z")
    return time, verdict, _name(flow["source"]), _name(flow["destination"]), flow["port"], rule_text(flow)


def _name(end: Party) -> str:
    """Name an identity by its own labels; that of the namespace is the same for all three."""
    labels = [label for label in end["labels"] if not label.startswith(NAMESPACE)]
    return f"{','.join(labels)} ({end['identity']})"


def _ratio(count: tuple[int, int]) -> Text:
    sent, received = count
    if not sent:
        return Text("-", style="dim")
    return Text(f"{received}/{sent}", style="green" if received else "red")


def _keys() -> Text:
    return Text.assemble(
        "\n", ("A", "bold"), " allow port 8080   ", ("D", "bold"), " deny it   ", ("Q", "bold"), " or Ctrl-C end"
    )
