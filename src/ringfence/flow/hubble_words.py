"""Hubble's words for what an event holds: names and numbers of verdicts, drop reasons and event types.

They are those of flow.proto and of Cilium's monitor. Reasons of our own, which Hubble has no name for, keep theirs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from ringfence.abi import EventKind, Reason, Verdict
from ringfence.flow.columns import Mask, is_in
from ringfence.flow.decode import Events


class EventType(IntEnum):
    """Types of a flow's origin (Cilium's pkg/monitor/api), of those that Ringfence has."""

    DROP = 1
    TRACE = 4
    POLICY_VERDICT = 5

    @property
    def text(self) -> str:
        """As monitor and hubble write it: `policy-verdict`."""
        return self.name.lower().replace("_", "-")


#: Types that Hubble knows and Ringfence has no events of: asked for, they match nothing.
OTHER_TYPES: Final = {"debug": 2, "capture": 3, "recorder": 6, "trace-sock": 7, "l7": 129, "agent": 130}

#: Verdicts of Hubble by name. What Ringfence never says is None: asked for, it matches nothing.
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

#: Drop reasons of Hubble (DropReason, by the same numbers) where they are called otherwise than ours.
_RENAMED: Final = {
    Reason.INVALID_SOURCE: "INVALID_SOURCE_IP",
    Reason.INVALID_PACKET: "INVALID_PACKET_DROPPED",
    Reason.UNSUPPORTED_L3: "UNSUPPORTED_L3_PROTOCOL",
    Reason.CT_INSERT_FAILED: "CT_MAP_INSERTION_FAILED",
    Reason.INVALID_EXTENSION_HEADER: "INVALID_IPV6_EXTENSION_HEADER",
    Reason.FRAGMENT_WITHOUT_FIRST: "FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND",
    Reason.FORBIDDEN_ICMPV6: "FORBIDDEN_ICMPV6_MESSAGE",
    Reason.POLICY_DENY_RULE: "POLICY_DENY",
    Reason.VLAN: "VLAN_FILTERED",
}
DROP_REASONS: Final = {reason: _RENAMED.get(reason, reason.name) for reason in Reason if reason is not Reason.FORWARDED}
BY_POLICY: Final = (Reason.POLICY_DENIED, Reason.POLICY_DENY_RULE)


def is_type(events: Events, wanted: EventType) -> Mask:
    """Rows of a type. A denial by policy is of two: Cilium writes two events where Ringfence writes one."""
    denied = events["verdict"] == Verdict.DENY
    if wanted is EventType.DROP:
        return np.asarray(denied)
    judged = (events["egress_rule"] != 0) | (events["ingress_rule"] != 0)
    by_policy = judged & (~denied | is_in(events["reason"], BY_POLICY)) & (events["kind"] == EventKind.VERDICT)
    return np.asarray(by_policy if wanted is EventType.POLICY_VERDICT else ~denied & ~by_policy)
