from __future__ import annotations

from typing import Any

import pytest

from ringfence.tui.flowlist import MOST_ROWS, PATIENCE_SECONDS, FlowList, FlowRow, key_of, opened
from tests.unit.tui.shop import digest, edge, flow, party


def only(flows: FlowList) -> FlowRow:
    (row,) = flows.rows("name")
    return row


def test_allowed_or_denied_a_flow_is_one_row() -> None:
    """A flow that is denied after having been allowed is the same row with its newest verdict, and all its totals."""
    flows = FlowList()
    flows.take(digest(edge(flow("client", "80/TCP"), 4)))
    later = flow("client", "80/TCP", "deny", time="2026-01-02T03:04:06.000000Z")
    flows.take(digest(edge(later, 2, 6), edge(flow("client", "80/TCP"), 1)))
    row = only(flows)
    assert ("deny", 7, 4) == (row.flow["verdict"], row.verdicts, row.held_back)


def test_a_reply_belongs_to_the_flow_that_it_answers() -> None:
    """The ends of a reply are the other way round, and an echo reply is about the request."""
    reply = flow("client", "echo-reply/ICMP", status="reply", source=party("web"), destination=party("client"))
    assert key_of(opened(reply)) == key_of(flow("client", "echo-request/ICMP"))
    assert opened(flow("client", "80/TCP")) == flow("client", "80/TCP")


def test_a_rate_follows_what_happens() -> None:
    """Verdicts a second: at first those of the first interval, then half way to each newest, down to nothing."""
    flows = FlowList()
    flows.take(digest(edge(flow("client", "80/TCP"), 10)))
    assert only(flows).rate == pytest.approx(20)
    flows.take(digest(edge(flow("client", "80/TCP"), 20)))
    assert only(flows).rate == pytest.approx(30)
    flows.take(digest())
    assert only(flows).rate == pytest.approx(15)


def test_a_silent_flow_is_let_go() -> None:
    """After a minute without a verdict its row is gone, not before."""
    flows = FlowList()
    flows.take(digest(edge(flow("client", "80/TCP"), 1)))
    flows.take(digest(seconds=PATIENCE_SECONDS))
    assert 1 == len(flows)
    flows.take(digest(seconds=1))
    assert 0 == len(flows)


def test_there_are_never_more_rows_than_can_be_kept() -> None:
    """Of too many flows the longest silent go first."""
    flows = FlowList()
    flows.take(digest(*(edge(flow("client", f"{port}/TCP"), 1) for port in range(1, MOST_ROWS + 1))))
    newest = flow("guest", "80/TCP")
    flows.take(digest(edge(newest, 1)))
    assert MOST_ROWS == len(flows)
    assert flows.get(key_of(newest)) is not None


@pytest.mark.parametrize(
    ("order", "expected"),
    [("busiest", ["80/TCP", "22/TCP", "443/TCP"]), ("denied", ["22/TCP", "80/TCP", "443/TCP"])],
)
def test_orders(order: Any, expected: list[str]) -> None:
    """Busiest first, or those that are denied; alike in that, by name."""
    flows = FlowList()
    edges = (
        edge(flow("client", "443/TCP"), 2),
        edge(flow("client", "80/TCP"), 90),
        edge(flow("client", "22/TCP", "deny"), 9),
    )
    flows.take(digest(*edges))
    assert expected == [row.key.port for row in flows.rows(order)]


def test_a_small_change_of_a_rate_moves_no_row() -> None:
    """Two flows about as busy stay in the order of their names."""
    flows = FlowList()
    for first, second in ((10, 11), (11, 10), (10, 12)):
        flows.take(digest(edge(flow("client", "80/TCP"), first), edge(flow("guest", "80/TCP"), second)))
        assert ["shop/client", "shop/guest"] == [row.key.source for row in flows.rows("busiest")]


def test_what_was_left_out_is_known() -> None:
    """Pairs that were too many for a digest are counted."""
    flows = FlowList()
    flows.take(digest(edge(flow("client", "80/TCP"), 1), edges_left_out=12))
    assert 12 == flows.left_out
