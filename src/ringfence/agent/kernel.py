"""What the agent asks of the kernel, whether it is the real one (`live`) or one that is only told of (`dry`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypedDict

import numpy.typing as npt

from ringfence.abi import Aggregation, Delivery
from ringfence.api import shapes
from ringfence.api.inspected import Element, ElementChanged
from ringfence.datapath.balancing import BackendFound, FrontendFound
from ringfence.datapath.prefilter import Listed
from ringfence.datapath.readback import Readback
from ringfence.datapath.rings import EventRings
from ringfence.datapath.snat import Translation
from ringfence.engine.commands import ClearEndpoint, Commit, Network, Peer, WriteEndpoint
from ringfence.engine.events import Address
from ringfence.engine.known import Known
from ringfence.flow.connections import ConnectionFilter
from ringfence.policy.mapstate import PolicyKey
from ringfence.service.row import Frontend

Hits = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Attachment:
    """How an interface was hooked, and how packets are delivered to it and why so."""

    mechanism: str
    delivery: Delivery
    delivery_reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An active policy entry: the rule number it names, its row of the records, what it has counted."""

    key: PolicyKey
    rule: int
    record: int
    packets: int
    bytes: int


class Count(NamedTuple):
    """Entries of a map, and how many of them are still needed: connections that have not ended."""

    entries: int
    needed: int


class EventSettings(NamedTuple):
    """Which packets are events where an endpoint has no setting of its own, and how many denials of one flow each CPU
    tells a second, 0 for all.
    """

    aggregation: Aggregation = Aggregation.CONNECTIONS
    denial_limit: int = 10


class EventCounts(TypedDict):
    """What the programs counted of events."""

    seen: int
    lost: int
    held_back: int


@dataclass(frozen=True, slots=True)
class Hook:
    """What an interface is found to run: the mechanism, whether both of our programs are there, why packets may pass
    them by, and what of others runs after them.
    """

    mechanism: str
    programs_ok: bool
    problems: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


class ConnectionTable(Protocol):
    """The tracked connections. Methods read whole maps: to be called from a thread."""

    def listed(self, known: Known, wanted: ConnectionFilter) -> list[shapes.ConnectionShape]:
        """Those that are wanted."""

    def forget(self, known: Known, wanted: ConnectionFilter) -> int:
        """Forget those that are wanted; how many there were."""


class MapContents(Protocol):
    """The maps, as they are. Methods read whole maps or wait for the kernel: to be called from a thread.

    Those that name a map raise `NotFound` where there is none of that name.
    """

    def listed(self) -> list[shapes.MapShape]:
        """All maps and how full they are."""

    def dump(self, name: str, known: Known) -> shapes.MapDump:
        """The elements of a map."""

    def write(self, name: str, element: Element, known: Known) -> ElementChanged:
        """Write an element by hand; of one that is there, only the fields that are given. Raises `BadInput`."""

    def delete(self, name: str, element: Element, known: Known) -> ElementChanged:
        """Delete an element by hand. Raises `BadInput`, and `NotFound` where there is none."""


class Prefilter(Protocol):
    """The prefilter's list, and the interfaces that it is on. What changes the list may take seconds: from a thread."""

    @property
    def in_force(self) -> bool:
        """Whether there is a list, be it empty."""

    def listed(self) -> list[Listed]:
        """The list in force, in no order."""

    def add(self, networks: Sequence[Network]) -> list[Network]:
        """Add those that are not there; which these were. Raises `MapFullError` with nothing changed."""

    def delete(self, networks: Sequence[Network]) -> list[Network]:
        """Delete those that are there; which these were."""

    def replace(self, networks: Sequence[Network]) -> None:
        """Put another list into force. Raises `MapFullError` with nothing changed."""

    def guarded(self) -> list[int]:
        """The interfaces that it is on, or was when they were last there."""

    def guard(self, ifindex: int) -> str:
        """Have it on an interface; the mode. Raises `RingfenceError`."""

    def unguard(self, ifindex: int) -> None:
        """Take it off an interface."""


class UplinkSide(Protocol):
    """What is done to packets at uplinks: services from outside, and source translation."""

    def attached(self) -> list[int]:
        """The interfaces where it is done."""

    def addresses(self, ifindex: int) -> list[Address]:
        """The addresses of an interface. Raises OSError."""

    def attach(self, ifindex: int, seen_by: Sequence[Address]) -> str:
        """Do it at an interface, where endpoints are seen by these addresses; how. Raises `RingfenceError`."""

    def detach(self, ifindex: int) -> None:
        """Do it there no more."""

    def exclude(self, networks: Sequence[Network]) -> None:
        """Exactly these are reached by the endpoints' own addresses."""

    def flows(self) -> list[Translation]:
        """What is translated. Reads a whole map: to be called from a thread."""

    def forget(self, wanted: Callable[[Translation], bool]) -> int:
        """Forget translations; how many. To be called from a thread."""


class Kernel(Protocol):
    """The kernel's side of one instance. Methods raise `RingfenceError` or OSError when the kernel refuses."""

    @property
    def revision(self) -> int:
        """The active revision."""

    def begin_at(self, revision: int) -> None:
        """Go on from a revision where nothing was committed yet; else there is nothing to do."""

    def held(self) -> tuple[dict[PolicyKey, int], dict[Network, Peer]]:
        """The entries (key -> rule number) and prefixes that are active."""

    def frontends(self) -> list[Frontend]:
        """The addresses and ports of services that are active."""

    def service_row(self, frontend: Frontend) -> int:
        """The row of the services array that a frontend has, by which events name it; 0 for none."""

    def balancing(self) -> tuple[list[FrontendFound], list[BackendFound]]:
        """Services as the maps have them. Reads whole maps: to be called from a thread."""

    def leftovers(self) -> tuple[set[int], set[int]]:
        """Rows of endpoints that are filled, and interfaces that are hooked: after a kill more than are wanted."""

    def write(self, command: WriteEndpoint | Commit | ClearEndpoint) -> None:
        """Carry out a command that is memory alone: it takes microseconds and waits for nobody."""

    @property
    def uplinks(self) -> UplinkSide:
        """Services from outside, and source translation."""

    @property
    def prefilter(self) -> Prefilter:
        """What is dropped at the uplinks."""

    @property
    def event_settings(self) -> EventSettings:
        """What is told of packets."""

    def set_events(self, settings: EventSettings) -> None:
        """Have other things told, from the next packet on."""

    def carries(self, ifindex: int) -> bool:
        """Whether an interface runs a program of ours, of this object or of one that it replaces."""

    def attach(self, row: int, ifindex: int) -> str:
        """Hook an endpoint's interface, or see that it is; by which mechanism.

        Waits for the kernel: to be called from a thread.
        """

    def deliveries(self, wanted: Mapping[int, Sequence[Address]]) -> Mapping[int, tuple[Delivery, str]]:
        """By interface, how packets may be delivered to the workload with these addresses behind it, and why so.

        An interface that is gone is left out. Asks the kernel: to be called from a thread.
        """

    def deliver(self, row: int, ifindex: int, delivery: Delivery) -> None:
        """Have packets delivered in a way to the endpoint in a row, if it still has this interface."""

    def detach(self, ifindex: int) -> None:
        """Take our programs off an interface. Waits for the kernel: to be called from a thread."""

    def hook(self, ifindex: int) -> Hook:
        """What an interface runs, asked of the kernel. To be called from a thread."""

    def hits(self) -> Hits:
        """Packets and bytes by record. Reads a whole map: to be called from a thread."""

    def entries(self, hits: Hits) -> Sequence[Entry]:
        """The active policy entries with their counters."""

    def records(self, keys: Iterable[PolicyKey]) -> list[int]:
        """The rows of the records of some keys, in order; 0 for one that has none."""

    def hits_of(self, records: Sequence[int]) -> Hits:
        """Packets and bytes of some records, also of one that was let go and not taken again."""

    def hits_below(self, end: int) -> Hits:
        """Packets and bytes of the first records. To be called from a thread."""

    def sizes(self) -> Mapping[str, int]:
        """How many entries the maps have room for, by name."""

    def written(self) -> Mapping[str, int]:
        """How many entries the maps hold that only the agent writes: `policy`, and `ipcache` with whole addresses."""

    def count(self, name: str) -> Count:
        """How many entries a map holds that the programs write. Reads all of it: to be called from a thread."""

    def metrics(self) -> Mapping[tuple[int, int], tuple[int, int]]:
        """Packets and bytes by (reason, direction); those that are 0 are left out."""

    def event_counts(self) -> EventCounts:
        """Events written and lost, and denials held back, since the programs were loaded."""

    def tell_held_back(self) -> int:
        """Have told what is held back of flows that are silent; of how many. To be called from a thread."""

    def tell_ends(self) -> int:
        """Have the ends told of connections whose time has run out; of how many. To be called from a thread."""

    def undecoded(self) -> int:
        """Records of the ring that were no events of this layout, since the agent started."""

    @property
    def tracking(self) -> ConnectionTable:
        """The tracked connections."""

    @property
    def contents(self) -> MapContents:
        """The maps, as they are."""

    def read_back(self) -> Readback:
        """The policy state as the maps have it. Reads whole maps: to be called from a thread. Raises `Unavailable`."""

    def ring(self) -> EventRings | None:
        """The event rings, for their one reader."""

    def close(self) -> None:
        """Let go of everything; what is attached goes on judging."""
