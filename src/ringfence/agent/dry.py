"""The dry run: a kernel that is only told of. What would be done to the real one is printed, one command a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ringfence.abi import COUNTER, MAPS, Aggregation, Delivery, Direction, PeerKind, Tier
from ringfence.agent.kernel import Count, Entry, EventCounts, EventSettings, Hits, Hook
from ringfence.api import shapes
from ringfence.api.inspected import Element, ElementChanged
from ringfence.datapath.balancing import BackendFound, FrontendFound
from ringfence.datapath.interfaces import addresses_of
from ringfence.datapath.prefilter import Listed
from ringfence.datapath.readback import Readback
from ringfence.datapath.rings import EventRings
from ringfence.datapath.snat import Translation
from ringfence.engine.commands import ClearEndpoint, Commit, Network, Peer, WriteEndpoint
from ringfence.engine.events import Address
from ringfence.engine.known import Known
from ringfence.errors import NotFound, Unavailable
from ringfence.flow.connections import ConnectionFilter
from ringfence.policy.mapstate import PolicyKey
from ringfence.service.row import Frontend, ServiceRow
from ringfence.service.text import frontend_text, row_text
from ringfence.traffic import format_protocol

Say = Callable[[str], None]


class NoConnections:
    """Nothing was judged."""

    def listed(self, known: Known, wanted: ConnectionFilter) -> list[shapes.ConnectionShape]:  # noqa: ARG002 - none
        return []

    def forget(self, known: Known, wanted: ConnectionFilter) -> int:  # noqa: ARG002 - none
        return 0


class NoMaps:
    """Nothing was loaded."""

    def listed(self) -> list[shapes.MapShape]:
        return []

    def dump(self, name: str, known: Known) -> shapes.MapDump:  # noqa: ARG002 - no map
        raise _no_map(name)

    def write(self, name: str, element: Element, known: Known) -> ElementChanged:  # noqa: ARG002 - no map
        raise _no_map(name)

    def delete(self, name: str, element: Element, known: Known) -> ElementChanged:  # noqa: ARG002 - no map
        raise _no_map(name)


def _no_map(name: str) -> NotFound:
    return NotFound(f"there is no map {name!r} in a dry run")


class DryPrefilter:
    """Holds the list that the kernel would hold."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._networks: dict[Network, None] = {}
        self._guarded: list[int] = []
        self.in_force = False

    def listed(self) -> list[Listed]:
        return [Listed(str(network), 0, 0) for network in self._networks]

    def add(self, networks: Sequence[Network]) -> list[Network]:
        added = [network for network in networks if network not in self._networks]
        self._networks |= dict.fromkeys(added)
        for network in added:
            self._say(f"prefilter {network}: drop")
        return added

    def delete(self, networks: Sequence[Network]) -> list[Network]:
        deleted = [network for network in networks if network in self._networks]
        for network in deleted:
            del self._networks[network]
            self._say(f"prefilter {network}: gone")
        return deleted

    def replace(self, networks: Sequence[Network]) -> None:
        self._networks = dict.fromkeys(networks)
        self.in_force = True
        self._say(f"prefilter: a list of {len(self._networks)} prefixes")

    def guarded(self) -> list[int]:
        return self._guarded

    def guard(self, ifindex: int) -> str:
        if ifindex not in self._guarded:
            self._guarded.append(ifindex)
            self._say(f"attach the prefilter to XDP of interface {ifindex}")
        return "native"

    def unguard(self, ifindex: int) -> None:
        self._guarded.remove(ifindex)
        self._say(f"detach the prefilter from XDP of interface {ifindex}")


class DryUplinks:
    """Says what would be done at uplinks."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._attached: dict[int, Sequence[Address]] = {}

    def attached(self) -> list[int]:
        return list(self._attached)

    def addresses(self, ifindex: int) -> list[Address]:
        return addresses_of(ifindex)

    def attach(self, ifindex: int, seen_by: Sequence[Address]) -> str:
        if self._attached.get(ifindex) != seen_by:
            self._attached[ifindex] = seen_by
            told = f"endpoints seen by {', '.join(map(str, seen_by))}" if seen_by else "endpoints seen as they are"
            self._say(f"attach to uplink {ifindex}, {told}")
        return "none"

    def detach(self, ifindex: int) -> None:
        self._attached.pop(ifindex, None)
        self._say(f"detach from uplink {ifindex}")

    def exclude(self, networks: Sequence[Network]) -> None:
        for network in networks:
            self._say(f"snat: not towards {network}")

    def flows(self) -> list[Translation]:
        return []

    def forget(self, wanted: Callable[[Translation], bool]) -> int:  # noqa: ARG002 - there are none
        return 0


class DryKernel:
    """Holds what the kernel would hold."""

    def __init__(self, say: Say, events: EventSettings = EventSettings()) -> None:  # noqa: B008 - immutable
        self._say = say
        self.event_settings = events
        self._entries: dict[PolicyKey, int] = {}
        self._peers: dict[Network, Peer] = {}
        self._services: dict[Frontend, ServiceRow] = {}
        self.revision = 0
        self.prefilter = DryPrefilter(say)
        self.uplinks = DryUplinks(say)

    def begin_at(self, revision: int) -> None:
        self.revision = self.revision or revision

    def held(self) -> tuple[dict[PolicyKey, int], dict[Network, Peer]]:
        return dict(self._entries), dict(self._peers)

    def frontends(self) -> list[Frontend]:
        return list(self._services)

    def service_row(self, frontend: Frontend) -> int:
        return list(self._services).index(frontend) + 1 if frontend in self._services else 0

    def balancing(self) -> tuple[list[FrontendFound], list[BackendFound]]:
        raise Unavailable("there are no maps to read back in a dry run")

    def leftovers(self) -> tuple[set[int], set[int]]:
        return set(), set()

    def write(self, command: WriteEndpoint | Commit | ClearEndpoint) -> None:
        if not isinstance(command, Commit):
            self._say(_endpoint_line(command))
            return
        self.revision += 1
        for key, number in command.policy.items():
            self._entries[key] = number
            if not number:
                del self._entries[key]
        self._peers.update({network: peer for network, peer in command.peers.items() if peer})
        for network in [network for network, peer in command.peers.items() if peer is None]:
            self._peers.pop(network, None)
        self._services |= {frontend: row for frontend, row in command.services.items() if row}
        for frontend in [frontend for frontend, row in command.services.items() if row is None]:
            self._services.pop(frontend, None)
        for line in commit_lines(command, self.revision):
            self._say(line)

    def set_events(self, settings: EventSettings) -> None:
        self.event_settings = settings
        self._say(f"events: aggregation {settings.aggregation.name.lower()}, denial limit {settings.denial_limit}")

    def carries(self, ifindex: int) -> bool:  # noqa: ARG002 - nothing is hooked in a dry run
        return False

    def attach(self, row: int, ifindex: int) -> str:
        self._say(f"attach endpoint {row}: to_endpoint, from_endpoint on {ifindex}")
        return "none"

    def deliveries(self, wanted: Mapping[int, Sequence[Address]]) -> Mapping[int, tuple[Delivery, str]]:
        return dict.fromkeys(wanted, (Delivery.STACK, "dry run"))

    def deliver(self, row: int, ifindex: int, delivery: Delivery) -> None:
        """Packets are not delivered at all."""

    def detach(self, ifindex: int) -> None:
        self._say(f"detach {ifindex}: from_endpoint, to_endpoint")

    def hook(self, ifindex: int) -> Hook:  # noqa: ARG002 - nothing is hooked in a dry run
        return Hook("none", programs_ok=False)

    def hits(self) -> Hits:
        return np.zeros(0, COUNTER)

    def entries(self, hits: Hits) -> list[Entry]:  # noqa: ARG002 - none
        return [Entry(key, rule, 0, 0, 0) for key, rule in self._entries.items() if not key.staged]

    def records(self, keys: Iterable[PolicyKey]) -> list[int]:
        return [0 for _ in keys]

    def hits_of(self, records: Sequence[int]) -> Hits:
        return np.zeros(len(records), COUNTER)

    def hits_below(self, end: int) -> Hits:
        return np.zeros(end, COUNTER)

    def sizes(self) -> Mapping[str, int]:
        return {name: spec.max_entries for name, spec in MAPS.items()}

    def written(self) -> Mapping[str, int]:
        return {"policy": len(self._entries), "ipcache": len(self._peers)}

    def count(self, name: str) -> Count:  # noqa: ARG002 - none
        return Count(0, 0)

    def metrics(self) -> Mapping[tuple[int, int], tuple[int, int]]:
        return {}

    def event_counts(self) -> EventCounts:
        return {"seen": 0, "lost": 0, "held_back": 0}

    def tell_held_back(self) -> int:
        return 0

    def tell_ends(self) -> int:
        return 0

    def undecoded(self) -> int:
        return 0

    @property
    def tracking(self) -> NoConnections:
        return NoConnections()

    @property
    def contents(self) -> NoMaps:
        return NoMaps()

    def read_back(self) -> Readback:
        raise Unavailable("there are no maps to read back in a dry run")

    def ring(self) -> EventRings | None:
        return None

    def close(self) -> None:
        """Nothing was opened."""


def commit_lines(commit: Commit, revision: int) -> list[str]:
    """A commit as lines: what is written, then the store that makes it active."""
    lines = [
        f"rule {number}: {row.verdict.name.lower()}, precedence {row.precedence}"
        for number, row in commit.rules.items()
    ]
    lines += [
        f"entry {key_text(key)}: {f'rule {number}' if number else 'gone'}" for key, number in commit.policy.items()
    ]
    for network, peer in commit.peers.items():
        said = f"identity {peer.identity}, class {peer.prefix_class}, endpoint {peer.endpoint}" if peer else "gone"
        lines.append(f"prefix {network}: {said}")
    lines += [f"service {frontend_text(frontend)}: {row_text(row)}" for frontend, row in commit.services.items()]
    return [*lines, f"activate revision {revision}"]


def key_text(key: PolicyKey) -> str:
    """A policy key in words."""
    peer = "anyone" if key.peer_kind == PeerKind.ANY else f"{PeerKind(key.peer_kind).name.lower()} {key.peer}"
    where = f"{Tier(key.tier).name} {Direction(key.direction).name} {key.subject}".lower()
    where = f"staged {where}" if key.staged else where
    return f"{where}, {peer}, {traffic_text(key.protocol, key.port, key.prefix)}"


def traffic_text(protocol: int, port: int, prefix: int) -> str:
    """What a key's protocol, port and prefix stand for: `8080/TCP`, `8080-8087/TCP`, `any/TCP`, `any`."""
    if prefix == 0:
        return "any"
    last = port | (1 << (24 - prefix)) - 1
    ports = "any" if prefix == 8 else str(port) if last == port else f"{port}-{last}"
    return f"{ports}/{format_protocol(protocol)}"


def _endpoint_line(command: WriteEndpoint | ClearEndpoint) -> str:
    if isinstance(command, ClearEndpoint):
        return f"endpoint {command.row}: gone"
    macs = f"{command.mac.hex(':')}, host side {command.host_mac.hex(':')}"
    own = "" if command.aggregation is Aggregation.HOST else f", aggregation {command.aggregation.name.lower()}"
    return f"endpoint {command.row}: interface {command.ifindex}, {macs}{own}"
