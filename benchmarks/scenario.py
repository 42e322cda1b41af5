"""The scenario that everything is measured in: a client and a server that a policy lets talk on a few ports, isolated
both ways, among ten thousand entries of other workloads' rules.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from ringfence.abi import Direction, PeerKind, Reason, Tier, Verdict
from ringfence.engine.commands import Commit, Network, Peer, RuleRow
from ringfence.policy.mapstate import PolicyKey
from ringfence.traffic import Protocol

CLIENT, SERVER, STACKED = 300, 301, 302
# Row of the endpoints array -> addresses; the third is delivered to through the stack.
ADDRESSES: Final = {1: ("10.78.0.1", "fd78::1"), 2: ("10.78.0.2", "fd78::2"), 3: ("10.78.0.3", "fd78::3")}
IDENTITIES: Final = {1: CLIENT, 2: SERVER, 3: STACKED}
OUTSIDE: Final = "192.0.2.1"
ECHO_PORT, SINK_PORT, IPERF_PORT, DENIED_PORT, GUARDED_PORT = 8080, 8081, 5201, 9999, 9998
OTHERS: Final = 10_000
_FIRST_OTHER: Final = 1000

_ALLOW, _DEFAULT_DENY, _DEFAULT_ALLOW = 1, 2, 3
_RULES: Final = {
    _ALLOW: RuleRow(2, Verdict.ALLOW, Reason.FORWARDED),
    _DEFAULT_DENY: RuleRow(0, Verdict.DENY, Reason.POLICY_DENIED),
    _DEFAULT_ALLOW: RuleRow(0, Verdict.ALLOW, Reason.FORWARDED),
}
_DIRECTIONS: Final = (Direction.INGRESS, Direction.EGRESS)
_TRAFFIC: Final = (
    (Protocol.TCP, ECHO_PORT),
    (Protocol.TCP, IPERF_PORT),
    (Protocol.UDP, ECHO_PORT),
    (Protocol.UDP, SINK_PORT),
)


def policy() -> Commit:
    """Everything in one commit: the client's and the servers' rules, the others', and whose address is whose."""
    entries = {**_defaults(), **_allowed(), **_others()}
    return Commit(rules=_RULES, policy=entries, peers=_peers())


def _defaults() -> dict[PolicyKey, int]:
    isolated = {
        _anyone(identity, way, Tier.NORMAL): _DEFAULT_DENY for identity in IDENTITIES.values() for way in _DIRECTIONS
    }
    tiers = {
        _anyone(identity, way, Tier.BASELINE): _DEFAULT_ALLOW for identity in IDENTITIES.values() for way in _DIRECTIONS
    }
    return isolated | tiers


def _allowed() -> dict[PolicyKey, int]:
    entries = {_port(CLIENT, Direction.EGRESS, SERVER, Protocol.TCP, GUARDED_PORT): _ALLOW}
    for protocol, port in _TRAFFIC:
        for server in (SERVER, STACKED):
            entries[_port(CLIENT, Direction.EGRESS, server, protocol, port)] = _ALLOW
            entries[_port(server, Direction.INGRESS, CLIENT, protocol, port)] = _ALLOW
    from_anyone = _port(CLIENT, Direction.INGRESS, 0, Protocol.TCP, ECHO_PORT)._replace(peer_kind=PeerKind.ANY)
    return entries | {from_anyone: _ALLOW}


def _others() -> dict[PolicyKey, int]:
    subjects = range(_FIRST_OTHER, _FIRST_OTHER + OTHERS)
    return {_port(subject, Direction.INGRESS, CLIENT, Protocol.TCP, ECHO_PORT): _ALLOW for subject in subjects}


def _peers() -> dict[Network, Peer | None]:
    return {ip_network(text): Peer(IDENTITIES[row], 0, row) for row, texts in ADDRESSES.items() for text in texts}


def _anyone(subject: int, direction: Direction, tier: Tier) -> PolicyKey:
    return PolicyKey(subject, 0, 0, 0, 0, PeerKind.ANY, tier, direction)


def _port(subject: int, direction: Direction, peer: int, protocol: Protocol, port: int) -> PolicyKey:
    return PolicyKey(subject, peer, port, protocol, 24, PeerKind.IDENTITY, Tier.NORMAL, direction)
