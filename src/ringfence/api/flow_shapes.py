"""The documents of the API about flows and what was counted, lost and recorded of them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class Losses(TypedDict):
    """Events lost, by the stage that lost them: `ring` found the ring full, since the programs were loaded; the rest
    since the agent started: `decode` were not of this layout, `subscriber` found a reader's queue full, `store` could
    not be recorded.
    """

    ring: int
    decode: int
    subscriber: int
    store: int


class EventCounts(TypedDict):
    """Verdict events since the programs were loaded; `lost` are those that found the ring full, `held_back` denials of
    a flow beyond its limit, told as a number by a later event.
    """

    seen: int
    lost: int
    held_back: int
    losses: Losses


class Recording(TypedDict):
    """The history on disk. `state`: recording, stopped (with the reason) or off. Times are RFC 3339 or None."""

    state: Literal["recording", "stopped", "off"]
    reason: str
    directory: str
    segments: int
    bytes: int
    flows: int
    oldest: str | None


class Party(TypedDict):
    """One end of a flow. `port` is 0 where the protocol has none; `endpoint` None for one that is not on this host."""

    identity: int
    labels: list[str]
    address: str
    port: int
    endpoint: str | None


class DecidingRule(TypedDict):
    """The rule that decided a direction."""

    policy: str
    text: str
    origin: str


class DirectionRules(TypedDict):
    """The deciding rule by direction; None where that direction was not judged."""

    egress: DecidingRule | None
    ingress: DecidingRule | None


class FlowShape(TypedDict):
    """One verdict. `rule` is the one that denied, or the more telling of the two that allowed. `kind`: verdict, packet,
    flags or close. `packets` and `bytes`: of a close the connection's totals, as opened and replies; of a denial how
    many packets it stands for, those held back before it with it; else this one. `service`: the namespace/name of the
    service by whose address the source asked, or None.
    """

    time: str
    kind: str
    source: Party
    destination: Party
    protocol: str
    port: str
    direction: str
    verdict: str
    reason: str
    rule: DecidingRule | None
    rules: DirectionRules
    match: str
    revision: int
    ifindex: int
    length: int
    packets: list[int]
    bytes: list[int]
    tcp_flags: str
    status: str
    service: str | None


class Lost(TypedDict):
    """A line of the event stream: so many events were dropped because this subscriber reads too slowly."""

    lost: int


#: How flows are written: as `FlowShape`, or as `hubble observe -o json` writes them.
FlowForm = Literal["flow", "hubble"]


class NewestOnly(TypedDict):
    """The first line of an answer that was cut: so many flows follow, and older ones are left out."""

    newest_only: int


class EdgeShape(TypedDict):
    """Who spoke to whom in an interval, by one verdict and rule. `flow` is the newest event of it; `packets` and
    `bytes` are those that closes, denials and single packets account for.
    """

    flow: FlowShape
    events: int
    packets: int
    bytes: int


class DigestShape(TypedDict):
    """A line of the digest stream: what happened in an interval, in a size that does not grow with it.

    `edges` are the busiest pairs, busiest first, `edges_left_out` how many more there were. `flows` are the newest of
    `events` in all, oldest first: a sample where it holds fewer. `lost` are events of the interval that this stream
    lost, `losses` the totals of all stages.
    """

    time: str
    seconds: float
    revision: int
    events: int
    allowed: int
    denied: int
    edges: list[EdgeShape]
    edges_left_out: int
    flows: list[FlowShape]
    lost: int
    losses: Losses
