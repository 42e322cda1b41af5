"""What the engine asks of the kernel: the commands that deciding ends in.

A command is a value. The agent performs it through `datapath/`, `--dry-run` prints it, tests compare it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from ringfence.abi import Aggregation, Reason, Verdict
from ringfence.policy.mapstate import PolicyKey
from ringfence.service.row import Frontend, ServiceRow

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A row of the `rules` array: what a rule number means to the datapath."""

    precedence: int
    verdict: Verdict
    reason: Reason


class Peer(NamedTuple):
    """What the ipcache says of a prefix. `endpoint` is a row of the `endpoints` array, 0 for elsewhere."""

    identity: int
    prefix_class: int
    endpoint: int


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic change of the policy state: active for no packet before all of it is active for every packet.

    `rules` are new rule numbers (from 1), `policy` maps keys to rule numbers (0 takes the entry away), `peers` maps
    address prefixes to what is known of them (None takes the prefix away), `services` maps frontends to what they lead
    to (None takes the frontend away). Only what changed is named.
    """

    rules: Mapping[int, RuleRow] = field(default_factory=dict)
    policy: Mapping[PolicyKey, int] = field(default_factory=dict)
    peers: Mapping[Network, Peer | None] = field(default_factory=dict)
    services: Mapping[Frontend, ServiceRow | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.policy or self.peers or self.services)


@dataclass(frozen=True, slots=True)
class WriteEndpoint:
    """Fill a row of the `endpoints` array before a commit names it, or change it. MAC addresses are six bytes."""

    row: int
    id: int
    ifindex: int
    mac: bytes
    host_mac: bytes
    aggregation: Aggregation = Aggregation.HOST


@dataclass(frozen=True, slots=True)
class ClearEndpoint:
    """Empty a row once no active revision names it."""

    row: int


@dataclass(frozen=True, slots=True)
class Attach:
    """Hook both programs to the host side of an endpoint's interface, the hook towards the endpoint first."""

    row: int
    ifindex: int


@dataclass(frozen=True, slots=True)
class Detach:
    """Take both programs off an interface."""

    row: int
    ifindex: int


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep these values beyond the life of the process, before the commit that uses them. None: forget.

    An item is named by its kind and its key; a value is made of what JSON has.
    """

    items: Mapping[tuple[str, str], object]


Command = Remember | WriteEndpoint | Commit | ClearEndpoint | Detach | Attach
