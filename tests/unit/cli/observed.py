"""What `observe` is answered by the test's agent."""

from __future__ import annotations

from typing import Any

from ringfence.abi import CtStatus, EventKind, Reason, Verdict
from ringfence.flow.decode import Events
from ringfence.flow.hubble import flow_document
from tests.unit.flow.batch import DENIED, event, flow_of

CLOSED: dict[str, Any] = {"kind": EventKind.CLOSE, "tcp_flags": 0x11, "packets": (5, 4), "bytes": (300, 900)}
SPOOFED: dict[str, Any] = {"verdict": Verdict.DENY, "reason": Reason.INVALID_SOURCE, "source_identity": 2}


def _observed(**fields: Any) -> Events:
    """The event of a flow that was allowed by a rule for its peer and port, where nothing else is said."""
    if "source" not in fields:
        fields |= {"source": "10.0.0.2", "destination": "10.0.0.1"}
    return event(time=1_767_323_045_000_006_000, ingress_shape=1, **fields)


#: What `observe` is answered, in Hubble's form: one flow of each type, and a loss.
OBSERVED: list[object] = [
    {"newest_only": 5},
    *(
        flow_document(flow_of(_observed(**fields)), "node-1")
        for fields in (
            {},
            {**DENIED, "packets": (3, 0), "bytes": (180, 0)},
            {"status": CtStatus.REPLY, **CLOSED},
            {**SPOOFED, "egress_rule": 0, "ingress_rule": 0, "source_endpoint": 0},
            {"ingress_rule": 1, "source": "fd00::2", "destination": "fd00::1", "protocol": 17},
        )
    ),
    {"lost_events": {"source": "OBSERVER_EVENTS_QUEUE", "num_events_lost": "4"}, "node_name": "node-1", "time": ""},
]
