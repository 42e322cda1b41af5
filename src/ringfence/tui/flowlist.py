"""Flows: who speaks to whom, by which port, gathered from digests: the newest verdict of each, its rate and its totals.

A flow has one row whoever of the two sends, whatever the verdict, so that a rule flipped is a row that changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ringfence.tui.wording import end_name

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import DigestShape, EdgeShape, FlowShape

MOST_ROWS: Final = 1000
#: A flow that was silent for so many seconds is let go.
PATIENCE_SECONDS: Final = 60.0
Order = Literal["busiest", "denied", "name"]
ORDERS: Final[tuple[Order, ...]] = ("busiest", "denied", "name")
_REQUESTS: Final = {"echo-reply/ICMP": "echo-request/ICMP", "echo-reply/ICMPv6": "echo-request/ICMPv6"}
#: What the newest interval counts for in a rate; the rest is what was before.
_NEWEST: Final = 0.5


class FlowKey(NamedTuple):
    """What makes two verdicts those of one flow."""

    source_identity: int
    source: str
    destination_identity: int
    destination: str
    port: str


@dataclass(slots=True)
class FlowRow:
    """One flow since it was first seen. `flow` is its newest verdict, as opened; `rate` verdicts a second."""

    key: FlowKey
    flow: FlowShape
    rate: float = 0.0
    verdicts: int = 0
    packets: int = 0
    bytes: int = 0
    held_back: int = 0
    silent: float = 0.0


def opened(flow: FlowShape) -> FlowShape:
    """A verdict as its connection was opened: of a reply, the two ends the other way round."""
    if flow["status"] != "reply":
        return flow
    port = _REQUESTS.get(flow["port"], flow["port"])
    return {**flow, "source": flow["destination"], "destination": flow["source"], "port": port}


def key_of(flow: FlowShape) -> FlowKey:
    """Which flow a verdict, as opened, belongs to."""
    source, destination = flow["source"], flow["destination"]
    return FlowKey(source["identity"], end_name(source), destination["identity"], end_name(destination), flow["port"])


class FlowList:
    """The flows that digests told of."""

    def __init__(self) -> None:
        self._rows: dict[FlowKey, FlowRow] = {}
        self._left_out = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def left_out(self) -> int:
        """Pairs of the newest digest that were too many to be told."""
        return self._left_out

    def clear(self) -> None:
        """Forget all of them: another filter was asked for."""
        self._rows.clear()
        self._left_out = 0

    def get(self, key: FlowKey) -> FlowRow | None:
        """One flow, if it was heard of lately."""
        return self._rows.get(key)

    def take(self, digest: DigestShape) -> None:
        """Take in what happened in an interval."""
        before = {key: row.verdicts for key, row in self._rows.items()}
        # In the order they were given, so that the newest verdict of a flow stays.
        for edge in sorted(digest["edges"], key=lambda edge: edge["flow"]["time"]):
            self._take_edge(edge)
        seconds = max(digest["seconds"], 1e-6)
        for key, row in self._rows.items():
            given = row.verdicts - before.get(key, 0)
            row.silent = 0.0 if given else row.silent + seconds
            now = given / seconds
            row.rate = row.rate + _NEWEST * (now - row.rate) if key in before else now
        self._left_out = digest["edges_left_out"]
        self._forget()

    def _take_edge(self, edge: EdgeShape) -> None:
        flow = opened(edge["flow"])
        key = key_of(flow)
        row = self._rows.setdefault(key, FlowRow(key, flow))
        row.flow = flow
        row.verdicts += edge["events"]
        row.packets += edge["packets"]
        row.bytes += edge["bytes"]
        if flow["verdict"] == "deny":
            # A denial stands for the packets that were held back before it, too.
            row.held_back += max(0, edge["packets"] - edge["events"])

    def _forget(self) -> None:
        late = [key for key, row in self._rows.items() if row.silent > PATIENCE_SECONDS]
        for key in late:
            del self._rows[key]
        longest_silent = sorted(self._rows.values(), key=lambda row: -row.silent)
        for row in longest_silent[: max(0, len(self._rows) - MOST_ROWS)]:
            del self._rows[row.key]

    def rows(self, order: Order) -> Sequence[FlowRow]:
        """All of them in an order that does not change with every small change of a rate."""
        return sorted(self._rows.values(), key=lambda row: (*_first_by(order, row), row.key[1], row.key[3], row.key))


def _first_by(order: Order, row: FlowRow) -> tuple[int, ...]:
    busy = -round(log2(row.rate)) if row.rate > 0.1 else 4
    if order == "busiest":
        return (busy,)
    return (row.flow["verdict"] != "deny", busy) if order == "denied" else ()
