"""What can happen: the events that the engine takes. An event says what is so now, not what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from ringfence.abi import Aggregation, Verdict
from ringfence.engine.commands import Network, Peer
from ringfence.labels import Labels
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.rule import Policy
from ringfence.policy.service_set import ServiceObject
from ringfence.policy.state import Overlay
from ringfence.service.row import Frontend
from ringfence.verdict import RuleText

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload as it was found. `ifindex` is of the host side of its interface, 0 once that is gone; `labels` are
    all it is known by, `reserved:init` while that is nothing; MAC addresses are six bytes;
    `cookie` is the kernel's number of its namespace, 0 if that is not known; `aggregation` says which of its packets
    are events, HOST for those that the host's setting says.
    """

    name: str
    labels: Labels
    addresses: tuple[Address, ...] = ()
    ifindex: int = 0
    mac: bytes = bytes(6)
    host_mac: bytes = bytes(6)
    netns: str = ""
    interface: str = "eth0"
    cookie: int = 0
    aggregation: Aggregation = Aggregation.HOST


@dataclass(frozen=True, slots=True)
class PoliciesApplied:
    """These policies are in force; one of the same uid is replaced."""

    policies: tuple[Policy, ...]


@dataclass(frozen=True, slots=True)
class PoliciesDeleted:
    """The policies of these uids are no longer in force."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PoliciesStaged:
    """These policies, by uid, are judged beside those in force, without effect; None for one that would be gone.

    Without any overlay nothing is staged.
    """

    overlay: Overlay | None


@dataclass(frozen=True, slots=True)
class EndpointAdded:
    """A workload is to be managed, or what is known of it has changed."""

    workload: Workload


@dataclass(frozen=True, slots=True)
class EndpointLabelsChanged:
    """A workload is known by other labels now."""

    name: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class EndpointConfigured:
    """Other packets of a workload are to be events."""

    name: str
    aggregation: Aggregation


@dataclass(frozen=True, slots=True)
class EndpointDisconnected:
    """A workload's interface has vanished."""

    name: str


@dataclass(frozen=True, slots=True)
class EndpointRemoved:
    """A workload is no longer to be managed."""

    name: str


@dataclass(frozen=True, slots=True)
class EntrySet:
    """Somebody sets an entry by hand: it comes before every rule at its key."""

    key: PolicyKey
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class EntryDeleted:
    """Somebody deletes an entry that was set by hand."""

    key: PolicyKey


@dataclass(frozen=True, slots=True)
class ServicesApplied:
    """These services and slices are so; one of the same uid is replaced."""

    objects: tuple[ServiceObject, ...]


@dataclass(frozen=True, slots=True)
class ServicesDeleted:
    """The services and slices of these uids are no more."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """The node's own addresses: all of them."""

    addresses: frozenset[Address]


@dataclass(frozen=True, slots=True)
class Together:
    """Several things are so at once: all of them are taken, or none."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What an earlier run left: what it remembered, and what the kernel holds. Only for a new engine.

    `rules` are in the order their numbers were given out; `endpoints` are by row; `entries`, `peers` and `frontends`
    are the kernel's.
    """

    identities: Mapping[int, Labels] = field(default_factory=dict)
    rules: Mapping[int, RuleText] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    endpoints: Mapping[int, Workload] = field(default_factory=dict)
    manual: Mapping[PolicyKey, Verdict] = field(default_factory=dict)
    node_addresses: frozenset[Address] = frozenset()
    entries: Mapping[PolicyKey, int] = field(default_factory=dict)
    peers: Mapping[Network, Peer] = field(default_factory=dict)
    services: tuple[ServiceObject, ...] = ()
    frontends: tuple[Frontend, ...] = ()
    staged: Overlay | None = None


Event = (
    PoliciesApplied
    | PoliciesDeleted
    | PoliciesStaged
    | EndpointAdded
    | EndpointLabelsChanged
    | EndpointConfigured
    | EndpointDisconnected
    | EndpointRemoved
    | EntrySet
    | EntryDeleted
    | ServicesApplied
    | ServicesDeleted
    | NodeAddresses
    | Together
    | Restored
)
