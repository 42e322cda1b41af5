"""Rows: what the datapath is to know of one frontend, and of the backends behind it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from ringfence.abi import BackendState, ServiceScope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Frontend(NamedTuple):
    """An address and port of a service, as clients see it. Port 0 and protocol 0: every port that is none of its."""

    address: Address
    port: int
    protocol: int  # IP protocol number
    scope: ServiceScope = ServiceScope.ANY


class Backend(NamedTuple):
    """Where connections of a service port go."""

    address: Address
    port: int


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """What a frontend leads to.

    `group` names the service port: frontends of one share its backends. `backends` are all that connections may be
    with; `table` says which of them new ones go to, by index, as often as it names them.
    """

    name: str  # NAMESPACE/NAME of the service
    group: str
    backends: tuple[tuple[Backend, BackendState], ...] = ()
    table: tuple[int, ...] = ()
    maglev: bool = False
    affinity: int = 0  # seconds; 0: none
    source_ranges: tuple[Network, ...] = ()
    inside: bool = False  # refuses what comes in at an uplink
    no_port: bool = False  # the row for ports that are none of the service's
