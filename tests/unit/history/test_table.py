from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from ringfence.abi import EVENT, CtStatus, EventKind, Reason, Verdict
from ringfence.errors import RingfenceError
from ringfence.flow.decode import Events, joined
from ringfence.flow.query import FlowQuery
from ringfence.history.names import StoredNames
from ringfence.history.rows import from_table
from ringfence.history.table import SCHEMA, to_table
from tests.unit.flow.batch import DENIED, Names, event
from tests.unit.history.stored import batches, names, told


@settings(deadline=None, max_examples=60)
@given(batches(), names())
def test_stored_flow_is_the_same_event_and_tells_the_same(events: Events, known: StoredNames) -> None:
    """A row becomes the same event again, bit for bit, and people are told the same of it."""
    found, read = from_table(to_table(events, known))
    assert events.tobytes() == found.tobytes()
    assert told(events, known) == told(found, read)


@settings(deadline=None, max_examples=60)
@given(batches(least=1), names())
def test_columns_say_what_a_flow_says(events: Events, known: StoredNames) -> None:
    """Every text in the table is the one that the flow of that event tells, the rule that decided above all."""
    for document, row in zip(
        told(events, known), to_table(events, known).drop_columns("time").to_pylist(), strict=True
    ):
        for name in (
            "kind",
            "verdict",
            "reason",
            "direction",
            "status",
            "protocol",
            "port",
            "match",
            "tcp_flags",
            "service",
        ):
            assert document[name] == row[name]
        for side in ("source", "destination"):
            end = document[side]
            assert (end["address"], end["identity"]) == (row[f"{side}_address"], row[f"{side}_identity"])
            assert (",".join(end["labels"]), end["endpoint"]) == (row[f"{side}_labels"], row[f"{side}_endpoint"])
        rules = [("", document["rule"]), *((f"{side}_", rule) for side, rule in document["rules"].items())]
        for prefix, rule in rules:
            texts = [row[f"{prefix}{name}"] for name in ("rule", "policy", "origin")]
            assert ([rule["text"], rule["policy"], rule["origin"]] if rule else [None] * 3) == texts


def test_numbers_are_as_the_kernel_wrote_them() -> None:
    """Ports, counts and times are numbers, times in UTC to the nanosecond; replies have columns of their own."""
    found = event(time=1_500_000_000_123_456_789, packets=(5, 4), bytes=(500, 44), kind=EventKind.CLOSE)
    [row] = to_table(found, Names()).select(["packets", "bytes", "reply_packets", "reply_bytes"]).to_pylist()
    assert {"packets": 5, "bytes": 500, "reply_packets": 4, "reply_bytes": 44} == row
    time = to_table(found, Names())["time"]
    assert pa.timestamp("ns", "UTC") == time.type
    assert time[0].value == 1_500_000_000_123_456_789


def test_reply_is_under_the_port_its_connection_was_opened_to() -> None:
    """A reply from port 80 is traffic of 80/TCP, as the rule that allowed the request wrote it."""
    reply = event(source_port=80, destination_port=40000, status=CtStatus.REPLY)
    assert ["80/TCP"] == to_table(reply, Names())["port"].to_pylist()


def test_flow_without_a_rule_has_none() -> None:
    """Where no policy was asked there is no rule, not an empty one."""
    fields: dict[str, Any] = {"verdict": Verdict.DENY, "reason": Reason.INVALID_SOURCE}
    found = event(**fields, egress_rule=0, ingress_rule=0)
    [row] = to_table(found, Names()).drop_columns("time").to_pylist()
    assert (None, None, None, "invalid source") == (row["rule"], row["policy"], row["egress_rule"], row["reason"])


def test_no_events_are_a_table_too() -> None:
    """An empty batch has all the columns and no rows."""
    table = to_table(np.empty(0, EVENT), Names())
    assert (SCHEMA, 0) == (table.schema, len(table))


def test_stored_flows_are_filtered_like_live_ones() -> None:
    """The same query selects the same rows of events and of what was stored of them."""
    events = joined([event(), event(**DENIED), event("10.0.0.9", source_identity=2, source_endpoint=0)])
    stored, read = from_table(to_table(events, Names()))
    for asked in ('{"type": "drop"}', '{"from": ["app=client"]}', '{"to": ["default/web"], "port": "8080/TCP"}'):
        query = FlowQuery.parse([asked], [])
        assert query.select(events, Names()).tobytes() == query.select(stored, read).tobytes()


def test_words_of_another_version_are_refused() -> None:
    """A word that no event has is an error that says so, not a wrong number."""
    table = to_table(event(), Names())
    at = table.schema.get_field_index("reason")
    odd = pa.array(["moon phase"]).dictionary_encode()
    with pytest.raises(RingfenceError, match="no event has the reason 'moon phase'"):
        from_table(table.set_column(at, table.schema.field(at), odd))
