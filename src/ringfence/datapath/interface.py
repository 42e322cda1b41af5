"""What the agent asks of a datapath: the kernel's, or a stand-in for tests. All calls are synchronous.

Rows are those of the `endpoints` array; an interface index is that of the host side of a workload's interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Protocol

from numpy.typing import NDArray

from ringfence.abi import Aggregation, Delivery, Direction, Reason
from ringfence.engine.commands import Commit, Peer, WriteEndpoint
from ringfence.policy.mapstate import PolicyKey

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the kernel runs on an endpoint's interface, and how packets get to it."""

    ifindex: int
    mechanism: str
    programs_ok: bool
    delivery: Delivery
    delivery_reason: str


@dataclass(frozen=True, slots=True)
class Count:
    """Packets and bytes since the object was loaded."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class EventTally:
    """Events since the object was loaded: written to the ring, and lost because it was full."""

    written: int
    lost: int


class Datapath(Protocol):
    """One host's enforcement. Failures are RingfenceError or OSError, and then nothing has changed."""

    @property
    def revision(self) -> int:
        """The active policy revision; 0 before the first commit."""

    def commit(self, change: Commit) -> int:
        """Make a change active for every packet at once; returns its revision."""

    def write_endpoint(self, endpoint: WriteEndpoint) -> None:
        """Fill a row before a commit names it."""

    def clear_endpoint(self, row: int) -> None:
        """Empty a row."""

    def attach(self, row: int, ifindex: int, addresses: Iterable[IPv4Address | IPv6Address]) -> Attachment:
        """Hook both programs to an interface, find out how its addresses are delivered to, and note it in the row."""

    def detach(self, ifindex: int) -> None:
        """Take both programs off an interface, or what is left of them when it is gone."""

    def attachments(self) -> Mapping[int, Attachment]:
        """Row to what is attached, asked of the kernel now."""

    def entries(self) -> Mapping[PolicyKey, int]:
        """Every policy entry with its rule number at the active revision."""

    def peers(self) -> Mapping[Network, Peer]:
        """Every prefix of the ipcache at the active revision."""

    def endpoint_rows(self) -> Mapping[int, int]:
        """Live rows with their interface index."""

    def hits(self) -> Mapping[PolicyKey, Count]:
        """What every policy entry has decided."""

    def verdicts(self) -> Mapping[tuple[Reason, Direction], Count]:
        """What was let through (`Reason.FORWARDED`) and dropped, by reason and direction; zeros are left out."""

    def dump(self, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """All keys and values of a map. An unknown name is a KeyError."""

    def flush_connections(self) -> int:
        """Forget all connections and fragments; returns how many there were."""

    def read_events(self, limit: int = 65536) -> NDArray[Any]:
        """Take up to `limit` events (`abi.EVENT`), oldest first."""

    def fileno(self) -> int:
        """Readable when a batch of events has gathered."""

    def event_tally(self) -> EventTally:
        """How many events there were."""

    def set_aggregation(self, aggregation: Aggregation) -> None:
        """Which packets write an event, from the next one on."""

    def close(self) -> None:
        """Let go of the kernel's objects; enforcement stays in place."""
