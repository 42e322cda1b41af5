"""A flow: one verdict event with everything a person asks of it: who, to whom, what, and by which rule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ringfence.abi import CtStatus, Direction, EventKind, Reason, Verdict
from ringfence.flow.match import MatchType


@dataclass(frozen=True, slots=True)
class End:
    """One end of a flow. `port` is 0 where the protocol has none; `endpoint` None for one that is not on this host,
    `row` its row among the endpoints of this host, or 0.
    """

    identity: int
    labels: tuple[str, ...]
    address: str
    port: int
    endpoint: str | None
    row: int = 0


@dataclass(frozen=True, slots=True)
class FlowRule:
    """What a rule number stands for to people. `policy` is the uid (kind/namespace/name), empty for the defaults;
    `origin` is file:line or empty.
    """

    policy: str
    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Flow:
    """One verdict. `traffic` is the port as people write it, 8080/TCP; a rule is None where nothing was judged.

    `length` is in bytes from the IP header on. `packets` and `bytes`: of a close the totals of the connection, as
    opened and replies; of a denial how many packets it stands for, those held back before it with it; else this one.
    `service`: the namespace/name of the service by whose address the source asked, or empty.
    """

    time: datetime
    kind: EventKind
    source: End
    destination: End
    protocol: str
    traffic: str
    direction: Direction
    verdict: Verdict
    reason: Reason
    status: CtStatus
    egress: FlowRule | None
    ingress: FlowRule | None
    match: MatchType
    revision: int
    ifindex: int
    length: int
    packets: tuple[int, int]
    bytes: tuple[int, int]
    tcp_flags: str
    icmp_type: int = 0
    service: str = ""

    @property
    def rule(self) -> FlowRule | None:
        """The rule that denied; of two that allowed, the one that a policy wrote, and the peer's before one's own."""
        if self.verdict is Verdict.DENY:
            return self.egress if self.direction is Direction.EGRESS else self.ingress
        judged = [rule for rule in (self.ingress, self.egress) if rule is not None]
        return next((rule for rule in judged if rule.policy), judged[0] if judged else None)
