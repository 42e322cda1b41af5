"""A digest: what happened in an interval, in a size that does not grow with it: totals, the busiest pairs, a sample.

A pair ("edge") is who speaks to whom by which verdict and rule; replies count for the pair that opened. Dashboards draw
digests, so that a hundred thousand events a second cost them no more than ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ringfence.abi import CtStatus, EventKind, Verdict
from ringfence.flow.decode import Events, asked_ports, joined
from ringfence.flow.enrich import Names, flows
from ringfence.flow.flow import Flow

MOST_EDGES: Final = 200
MOST_FLOWS: Final = 50
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Edge:
    """Events of one pair. `flow` is the newest of them; packets and bytes are those that the events account for."""

    flow: Flow
    events: int
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Digest:
    """An interval's events. `edges` are the busiest first, `edges_left_out` how many more there were; `flows` are the
    newest, oldest first, of `events` in all.
    """

    events: int
    allowed: int
    denied: int
    edges: tuple[Edge, ...]
    edges_left_out: int
    flows: tuple[Flow, ...]


def digest(
    batches: Sequence[Events], names: Names, *, most_edges: int = MOST_EDGES, most_flows: int = MOST_FLOWS
) -> Digest:
    """The digest of batches of events in order."""
    events = joined(batches)
    if not len(events):
        return Digest(0, 0, 0, (), 0, ())
    edges, left_out = _edges(events, names, most_edges)
    # A denial stands for those that were held back too.
    denied = int(events["packets"][events["verdict"] == Verdict.DENY, 0].sum())
    allowed = int((events["verdict"] == Verdict.ALLOW).sum())
    newest = tuple(flows(events[-most_flows:], names)) if most_flows else ()
    return Digest(len(events), allowed, denied, edges, left_out, newest)


def _edges(events: Events, names: Names, most: int) -> tuple[tuple[Edge, ...], int]:
    _, last, place, counts = np.unique(_pair_numbers(events[::-1]), True, True, True)  # noqa: FBT003 - numpy's order
    packets, sizes = _accounted(events[::-1])
    packets_of, bytes_of = (np.bincount(place, weights, len(counts)) for weights in (packets, sizes))
    busiest = np.argsort(-counts, kind="stable")[:most]
    newest = flows(events[::-1][last[busiest]], names)
    found = zip(newest, busiest.tolist(), strict=True)
    edges = (Edge(flow, int(counts[at]), int(packets_of[at]), int(bytes_of[at])) for flow, at in found)
    return tuple(edges), max(0, len(counts) - most)


def _pair_numbers(events: Events) -> npt.NDArray[np.uint64]:
    """A number a row, equal for events of one pair: a hash, since sorting rows takes ten times as long."""
    reply = events["status"] == CtStatus.REPLY
    columns: list[npt.NDArray[Any]] = [
        np.where(reply, events["destination_identity"], events["source_identity"]),
        np.where(reply, events["source_identity"], events["destination_identity"]),
        np.where(reply, events["destination_endpoint"], events["source_endpoint"]),
        np.where(reply, events["source_endpoint"], events["destination_endpoint"]),
        asked_ports(events),
        events["protocol"],
        events["reason"],
        events["egress_rule"],
        events["ingress_rule"],
    ]
    number = np.zeros(len(events), np.uint64)
    for column in columns:
        number = (number ^ column.astype(np.uint64)) * _MIX
        number ^= number >> np.uint64(29)
    return number


def _accounted(events: Events) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Packets and bytes that each event accounts for: a close for its whole connection, so that none counts twice."""
    told = (events["kind"] == EventKind.CLOSE) | (events["kind"] == EventKind.PACKET)
    told |= events["verdict"] == Verdict.DENY
    return events["packets"].sum(axis=1) * told, events["bytes"].sum(axis=1) * told
