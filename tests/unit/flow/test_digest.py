from __future__ import annotations

import numpy as np

from ringfence.abi import CtStatus, EventKind
from ringfence.flow.digest import digest
from tests.unit.flow.batch import DENIED, Names, event


def test_a_digest_counts_pairs_whatever_their_ports() -> None:
    """Connections of one pair to one port are one edge, from whatever port they come; the busiest is first."""
    batch = np.concatenate([event(source_port=port) for port in (1, 2, 3)] + [event(destination_port=53, protocol=17)])
    found = digest([batch[:2], batch[2:]], Names())
    assert [("8080/TCP", 3), ("53/UDP", 1)] == [(edge.flow.traffic, edge.events) for edge in found.edges]
    assert (4, 4, 0) == (found.events, found.allowed, found.denied)


def test_replies_count_for_the_pair_that_opened() -> None:
    """A reply belongs to the edge of the connection it answers."""
    reply = event(
        "10.0.0.1",
        "10.0.0.2",
        source_port=8080,
        destination_port=40000,
        status=CtStatus.REPLY,
        source_identity=256,
        destination_identity=257,
        source_endpoint=1,
        destination_endpoint=2,
    )
    (edge,) = digest([event(), reply], Names()).edges
    assert 2 == edge.events


def test_denials_held_back_are_counted() -> None:
    """A denial stands for those that were held back before it."""
    found = digest([event(packets=(7, 0), bytes=(420, 0), **DENIED)], Names())
    assert (7, 7, 420) == (found.denied, found.edges[0].packets, found.edges[0].bytes)


def test_packets_of_a_connection_count_once() -> None:
    """A connection is accounted for by its close, not by the events before it too."""
    opened = event(packets=(1, 0), bytes=(60, 0))
    closed = event(kind=EventKind.CLOSE, packets=(5, 4), bytes=(500, 400))
    (edge,) = digest([opened, closed], Names()).edges
    assert (2, 9, 900) == (edge.events, edge.packets, edge.bytes)


def test_a_digest_does_not_grow() -> None:
    """However much happened: so many edges, the rest counted, and so many of the newest flows, oldest first."""
    batch = np.concatenate([event(destination_port=port, revision=port) for port in range(1, 21)])
    found = digest([batch], Names(), most_edges=5, most_flows=3)
    assert (5, 15, 20) == (len(found.edges), found.edges_left_out, found.events)
    assert [18, 19, 20] == [flow.revision for flow in found.flows]


def test_an_interval_without_events_has_a_digest() -> None:
    """Nothing happened is something to know."""
    assert 0 == digest([], Names()).events
