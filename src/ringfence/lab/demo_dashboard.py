"""The demo's dashboard: on it what was sent and answered, and with every flip a new phase to count under."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from ringfence.lab.demo import BACKEND, PHASES, SENDERS, Demo
from ringfence.lab.traffic import Stream
from ringfence.tui.app import Options, run
from ringfence.tui.flowlist import FlowKey
from ringfence.tui.wording import end_name

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import FlowShape

DRAW_SECONDS: Final = 0.25
PORT: Final = "8080/TCP"
_COLUMNS: Final = "{:<18}{:<17}{:<18}{:>12}{:>15}"


class DemoCompanion:
    """Goes along with the flips of a dashboard, as `Companion` asks for."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._streams = [stream for streams in demo.streams.values() for stream in streams]

    def before_flip(self, flow: FlowKey | None) -> None:
        """Let every attempt of the phase be decided, then hurry, so that the flip is seen as soon as it is in force."""
        self._demo.settle()
        self._demo.hurry(self._stream(flow))

    def after_flip(self, milliseconds: float | None) -> None:
        """Count what is sent from now on under a phase of its own."""
        if milliseconds is not None:
            self._demo.note(milliseconds)
        self._demo.begin(f"change {len(self._demo.phases)}")

    def lines(self) -> Sequence[str]:
        """How many attempts were answered of those sent: before all changes, and since the last."""
        return [_COLUMNS.format("SENDS", "TO", "", "BEFORE", "SINCE CHANGE"), *map(self._line, self._streams)]

    def _line(self, stream: Stream) -> str:
        now = self._demo.phase
        counts = [self._demo.counts(stream, PHASES[0]), self._demo.counts(stream, now) if now != PHASES[0] else (0, 0)]
        return _COLUMNS.format(stream.source, stream.destination, stream.port, *map(_ratio, counts))

    def _stream(self, flow: FlowKey | None) -> Stream:
        asked = (flow.source, flow.port) if flow else (SENDERS[0], PORT)
        found: Iterator[Stream] = (each for each in self._streams if (each.source, each.port) == asked)
        return next(found, self._streams[0])


def watch(demo: Demo, end: float | None) -> None:
    """Open the dashboard on the flow the demo is about, until it is left or `end` comes, of the monotonic clock."""
    lifetime = None if end is None else max(0.0, end - monotonic())
    run(Options(demo.client.socket, DRAW_SECONDS, wanted=_is_first, companion=DemoCompanion(demo), lifetime=lifetime))


def _is_first(flow: FlowShape) -> bool:
    ends = end_name(flow["source"]), end_name(flow["destination"])
    return (*ends, flow["port"]) == (SENDERS[0], BACKEND, PORT)


def _ratio(count: tuple[int, int]) -> str:
    sent, received = count
    return f"{received}/{sent}" if sent else "-"
