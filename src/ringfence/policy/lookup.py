"""The look-up: the datapath's rule for finding the entry that decides, carried out in memory.

Tier by tier; in a tier, of all entries that match, the highest precedence wins, then the longer port prefix, then an
identity over a prefix class over anyone. A pass, or no match, goes on to the next tier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ringfence.abi import Direction, PeerKind, Reason, Tier, Verdict
from ringfence.identity.ipcache import Known
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.resolve import PROTOCOL_BITS
from ringfence.traffic import PORT_BITS, Traffic
from ringfence.verdict import Decision, RuleText

_NO_VERDICT = RuleText(
    policy="",
    index=0,
    direction=Direction.INGRESS,
    tier=Tier.BASELINE,
    verdict=Verdict.DENY,
    precedence=0,
    reason=Reason.NO_VERDICT,
    origin="",
    text="no entry matches, not even a default",
)


class Entries(Protocol):
    """What is looked up in: a map state, or a part of one."""

    def items(self) -> Iterable[tuple[PolicyKey, RuleText]]: ...

    def winner(self, key: PolicyKey) -> RuleText | None: ...

    def tied(self, key: PolicyKey) -> tuple[RuleText, ...]: ...


class Lookup:
    """Answers from entries that do not change meanwhile: only shapes of keys that occur among them are tried."""

    def __init__(self, state: Entries) -> None:
        self._map = state
        found = {(key.tier, key.direction, key.peer_kind, key.prefix) for key, _ in state.items()}
        self._shapes: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for tier, direction, kind, prefix in sorted(found):
            self._shapes.setdefault((tier, direction), []).append((kind, prefix))

    def decide(self, direction: Direction, subject: int, peer: Known, traffic: Traffic) -> Decision:
        """The verdict of one direction for the endpoint with the identity `subject`."""
        for tier in Tier:
            matching = list(self._matching(tier, direction, subject, peer, traffic))
            if not matching:
                continue
            key = max(matching, key=self._rank)
            tied = self._map.tied(key)
            if tied[0].verdict != Verdict.PASS:
                return Decision(tied[0].verdict, tied[0].reason, direction, tied[0], tied)
        return Decision(Verdict.DENY, Reason.NO_VERDICT, direction, _NO_VERDICT)

    def _matching(
        self, tier: Tier, direction: Direction, subject: int, peer: Known, traffic: Traffic
    ) -> Iterator[PolicyKey]:
        for kind, prefix in self._shapes.get((tier, direction), ()):
            number = _peer_number(kind, peer)
            protocol = traffic.protocol if prefix else 0
            spare = PORT_BITS - max(prefix - PROTOCOL_BITS, 0)
            port = traffic.port >> spare << spare
            key = PolicyKey(subject, number, port, protocol, prefix, kind, int(tier), int(direction))
            if self._map.winner(key):
                yield key

    def _rank(self, key: PolicyKey) -> tuple[int, int, int]:
        winner = self._map.winner(key)
        return (winner.precedence if winner else -1, key.prefix, -key.peer_kind)


def _peer_number(kind: int, peer: Known) -> int:
    if kind == PeerKind.ANY:
        return 0
    return peer.identity if kind == PeerKind.IDENTITY else peer.prefix_class
