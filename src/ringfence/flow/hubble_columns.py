"""What `hubble` says of one flow, asked of columns: types of events, replies, and the names of verdicts and reasons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ringfence.abi import CtStatus, EventKind, Reason, Verdict
from ringfence.flow.columns import Mask, is_in
from ringfence.flow.decode import Events
from ringfence.flow.hubble import DROP_REASONS, MessageType, TracePoint

#: Types that Hubble knows and Ringfence has no events of: asked for, they match nothing.
OTHER_TYPES: Final = {"debug": 2, "capture": 3, "recorder": 6, "trace-sock": 7, "l7": 129, "agent": 130}
#: Verdicts of Hubble by number. What Ringfence never says is None: asked for, it matches nothing.
VERDICTS: Final[dict[str, Verdict | None]] = {
    "VERDICT_UNKNOWN": None,
    "FORWARDED": Verdict.ALLOW,
    "DROPPED": Verdict.DENY,
    "ERROR": None,
    "AUDIT": None,
    "REDIRECTED": None,
    "TRACED": None,
    "TRANSLATED": None,
}
#: Hubble's name of every drop reason; our own, which it has none for, keep theirs.
REASONS: Final = {each: DROP_REASONS.get(each, each.name) for each in Reason if each is not Reason.FORWARDED}
_BY_POLICY: Final = (Reason.POLICY_DENIED, Reason.POLICY_DENY_RULE)


def type_text(kind: MessageType) -> str:
    """As monitor and hubble write a type: `policy-verdict`."""
    return kind.name.lower().replace("_", "-")


def is_drop(events: Events) -> Mask:
    """Every denial: one by policy too, for which Cilium writes a drop and a policy verdict, and Ringfence one event."""
    return np.asarray(events["verdict"] == Verdict.DENY)


def is_policy_verdict(events: Events) -> Mask:
    """First packets that rules allowed, and what rules denied."""
    judged = (events["egress_rule"] != 0) | (events["ingress_rule"] != 0)
    allowed = judged & (events["kind"] == EventKind.VERDICT)
    return np.asarray(np.where(is_drop(events), is_in(events["reason"], _BY_POLICY), allowed))


def is_trace(events: Events) -> Mask:
    """Further packets of what is allowed."""
    return np.asarray(~is_drop(events) & ~is_policy_verdict(events))


IS_TYPE: Final[dict[MessageType, Callable[[Events], Mask]]] = {
    MessageType.DROP: is_drop,
    MessageType.TRACE: is_trace,
    MessageType.POLICY_VERDICT: is_policy_verdict,
}


def has_sub_type(events: Events, kind: MessageType, sub_type: int) -> Mask:
    """Rows of a sub-type, of those of a type: the reason of a drop, the place of a trace; a verdict has but 0."""
    if kind is MessageType.DROP:
        return np.asarray(events["reason"] == sub_type)
    if kind is MessageType.POLICY_VERDICT:
        return np.full(len(events), sub_type == 0)
    points = np.where(events["destination_endpoint"] != 0, TracePoint.TO_ENDPOINT, TracePoint.TO_STACK)
    return np.asarray(points == sub_type)


def is_reply(events: Events, *, wanted: bool) -> Mask:
    """Rows known to be replies, or known to be none."""
    known = (events["status"] != CtStatus.RELATED) & (~is_drop(events) | is_policy_verdict(events))
    return np.asarray(known & ((events["status"] == CtStatus.REPLY) == wanted))
