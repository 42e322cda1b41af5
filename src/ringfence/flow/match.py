"""Match types: how closely the entry that decided named the peer and the traffic, in Cilium's numbers and words.

An event carries the shape of the deciding key (`bpf/policy.h`: peer kind and prefix length), plus 1; 0 is not known.
"""

from __future__ import annotations

from enum import IntEnum

from ringfence.abi import PeerKind

_PEER_KINDS = len(PeerKind)
_LAST_RANK = 17  # prefix length 0; before it 24 down to 8
_PROTOCOL_RANK = 16


class MatchType(IntEnum):
    """Cilium's policy match types (pkg/monitor/api)."""

    NONE = 0
    L3_ONLY = 1
    L3_L4 = 2
    L4_ONLY = 3
    ALL = 4
    L3_PROTO = 5
    PROTO_ONLY = 6

    @property
    def text(self) -> str:
        """As monitor and hubble write it: `L3-L4`, `all`."""
        return _TEXTS[self]


_TEXTS = {
    MatchType.NONE: "none",
    MatchType.L3_ONLY: "L3-Only",
    MatchType.L3_L4: "L3-L4",
    MatchType.L4_ONLY: "L4-Only",
    MatchType.ALL: "all",
    MatchType.L3_PROTO: "L3-Proto",
    MatchType.PROTO_ONLY: "Proto-Only",
}


def match_type(shape: int) -> MatchType:
    """The match type of an event's shape."""
    if not shape:
        return MatchType.NONE
    rank, kind = divmod(shape - 1, _PEER_KINDS)
    any_peer = kind == PeerKind.ANY
    if rank == _LAST_RANK:
        return MatchType.ALL if any_peer else MatchType.L3_ONLY
    if rank == _PROTOCOL_RANK:
        return MatchType.PROTO_ONLY if any_peer else MatchType.L3_PROTO
    return MatchType.L4_ONLY if any_peer else MatchType.L3_L4
