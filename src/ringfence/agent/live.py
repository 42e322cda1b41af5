"""The real kernel: the loaded object's maps and programs, and the interfaces of this network namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ringfence.abi import Aggregation, Delivery, MetricsLayout, Reason
from ringfence.agent.contents import Contents
from ringfence.agent.kernel import Count, Entry, EventCounts, EventSettings, Hits, Hook
from ringfence.agent.live_prefilter import LivePrefilter
from ringfence.agent.live_uplinks import LiveUplinks
from ringfence.agent.tracking import CONNTRACK, Tracking
from ringfence.datapath import attach, clsact, hookorder, xdp
from ringfence.datapath.balancing import BackendFound, FrontendFound, read_backends, read_frontends
from ringfence.datapath.bpf import program_info
from ringfence.datapath.commit import Committer
from ringfence.datapath.delivery import deliveries
from ringfence.datapath.endpoints import EndpointTable
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.readback import Readback, read_back
from ringfence.datapath.rings import OUTER, EventRings
from ringfence.datapath.untold import Ends, HeldBack
from ringfence.engine.commands import ClearEndpoint, Commit, Network, Peer, WriteEndpoint
from ringfence.engine.events import Address
from ringfence.policy.mapstate import PolicyKey
from ringfence.service.row import Frontend

_EVENT_WORDS = ("event_aggregation", "denials_per_second")
_READ_FOR_A_CALL = 7  # rows that are read in one call among many, in the time that one takes alone


class LiveKernel:
    """The kernel's side of an instance, through one loaded object. The only writer of its maps.

    `replaced` are the numbers of the programs that this object's programs come in place of, `knobs` those that differ
    from the object's own.
    """

    def __init__(
        self,
        loaded: LoadedObject,
        directory: Path,
        mechanism: attach.Mechanism | None = None,
        replaced: frozenset[int] = frozenset(),
        knobs: Mapping[str, int] | None = None,
    ) -> None:
        self._loaded = loaded
        self._directory = directory
        self._mechanism = mechanism
        self._ours = replaced | {program_info(program).id for program in loaded.programs.values()}
        self._maps = loaded.maps
        self._committer = Committer(loaded.maps)
        self._endpoints = EndpointTable(loaded.maps)
        self._event_words = loaded.maps[".data.events"].mmap_array()
        self._ring = EventRings(loaded.rings)
        self._prefilter = LivePrefilter(loaded, directory)
        self._uplinks = LiveUplinks(loaded, directory, mechanism)
        self._held_back = HeldBack(loaded)
        self._ends = Ends(loaded, knobs or {})
        self._tracking = Tracking(loaded, knobs or {}, self._rule_at)
        self._contents = Contents(loaded, self._ring, self._failures)

    @property
    def revision(self) -> int:
        return self._committer.revision

    def begin_at(self, revision: int) -> None:
        self._committer.begin_at(revision)

    def held(self) -> tuple[dict[PolicyKey, int], dict[Network, Peer]]:
        return self._committer.rule_numbers(), self._committer.peer_entries()

    def frontends(self) -> list[Frontend]:
        return self._committer.services.frontends

    def service_row(self, frontend: Frontend) -> int:
        return self._committer.services.row_of.get(frontend, 0)

    def balancing(self) -> tuple[list[FrontendFound], list[BackendFound]]:
        return read_frontends(self._maps), read_backends(self._maps)

    def leftovers(self) -> tuple[set[int], set[int]]:
        links = (self._directory / "links").glob("*")
        pinned = {int(link.name.partition("-")[0]) for link in links if not xdp.is_pin(link.name)}
        return set(self._endpoints.live()), pinned | clsact.holders(self._ours)

    def write(self, command: WriteEndpoint | Commit | ClearEndpoint) -> None:
        if isinstance(command, Commit):
            self._committer.commit(command)
        elif isinstance(command, ClearEndpoint) or not command.ifindex:
            self._endpoints.clear(command.row)
        else:
            row = self._maps["endpoints"].mmap_array()[command.row]
            # A restart writes what stands there already: packets go on the way they went.
            known = Delivery(int(row["delivery"])) if row["ifindex"] == command.ifindex else Delivery.STACK
            self._endpoints.write(command, known)

    @property
    def uplinks(self) -> LiveUplinks:
        return self._uplinks

    @property
    def prefilter(self) -> LivePrefilter:
        return self._prefilter

    @property
    def event_settings(self) -> EventSettings:
        aggregation, limit = (int(self._event_words[name][0]) for name in _EVENT_WORDS)
        return EventSettings(Aggregation(aggregation), limit)

    def set_events(self, settings: EventSettings) -> None:
        for name, value in zip(_EVENT_WORDS, settings, strict=True):
            self._event_words[name][0] = value

    def carries(self, ifindex: int) -> bool:
        return any(found.program_id in self._ours for found in attach.query(ifindex))

    def attach(self, row: int, ifindex: int) -> str:  # noqa: ARG002 - the dry run tells it
        return str(attach.attach(self._loaded, ifindex, self._directory, self._mechanism))

    def deliveries(self, wanted: Mapping[int, Sequence[Address]]) -> Mapping[int, tuple[Delivery, str]]:
        try:
            return deliveries(wanted)
        except OSError as error:
            return dict.fromkeys(wanted, (Delivery.STACK, f"the node's routes cannot be read: {error}"))

    def deliver(self, row: int, ifindex: int, delivery: Delivery) -> None:
        if self._endpoints.interface(row) == ifindex:
            self._endpoints.set_delivery(row, delivery)

    def detach(self, ifindex: int) -> None:
        attach.detach(ifindex, self._directory)

    def hook(self, ifindex: int) -> Hook:
        if not ifindex:
            return Hook("none", programs_ok=False)
        found = {str(each.mechanism) for each in attach.query(ifindex)}
        seen = hookorder.order(self._loaded, ifindex)
        programs_ok = attach.programs_ok(self._loaded, ifindex)
        return Hook("+".join(sorted(found)) or "none", programs_ok, seen.problems, seen.others)

    def hits(self) -> Hits:
        return self._maps["record_hits"].dump()[1]

    def entries(self, hits: Hits) -> list[Entry]:
        rules = {key: number for key, number in self._committer.rule_numbers().items() if not key.staged}
        records = [self._committer.policy.row_of[key] for key in rules]
        counted = hits[records].tolist()
        return [
            Entry(key, rule, record, *counters)
            for (key, rule), record, counters in zip(rules.items(), records, counted, strict=True)
        ]

    def records(self, keys: Iterable[PolicyKey]) -> list[int]:
        row_of = self._committer.policy.row_of
        return [row_of.get(key, 0) for key in keys]

    def hits_of(self, records: Sequence[int]) -> Hits:
        hits, end = self._maps["record_hits"], max(records, default=0) + 1
        return hits.at(records) if len(records) * _READ_FOR_A_CALL < end else hits.head(end)[list(records)]

    def hits_below(self, end: int) -> Hits:
        return self._maps["record_hits"].head(end)

    def sizes(self) -> Mapping[str, int]:
        return {name: bpf_map.max_entries for name, bpf_map in self._maps.items()}

    def written(self) -> Mapping[str, int]:
        return {"policy": len(self._committer.policy.row_of), "ipcache": len(self._committer.peers.row_of)}

    def count(self, name: str) -> Count:
        pieces = self._maps[name].pieces()
        alive = self._ends.alive if name in CONNTRACK else lambda keys, _: len(keys)
        counts = [(len(keys), alive(keys, values)) for keys, values in pieces]
        return Count(sum(entries for entries, _ in counts), sum(needed for _, needed in counts))

    def metrics(self) -> Mapping[tuple[int, int], tuple[int, int]]:
        _, counters = self._maps["metrics"].dump()
        rows = np.flatnonzero(counters["packets"]).tolist()
        places = (divmod(row, MetricsLayout.DIRECTIONS) for row in rows)
        counted = (tuple(counters[row].tolist()) for row in rows)
        return dict(zip(places, counted, strict=True))

    def event_counts(self) -> EventCounts:
        _, tally = self._maps["event_tally"].dump()
        seen, lost, held_back = tally[0].tolist()
        return {"seen": seen, "lost": lost, "held_back": held_back}

    def tell_held_back(self) -> int:
        return self._held_back.tell()

    def tell_ends(self) -> int:
        return self._ends.tell()

    def undecoded(self) -> int:
        return self._ring.skipped

    @property
    def tracking(self) -> Tracking:
        return self._tracking

    @property
    def contents(self) -> Contents:
        return self._contents

    def read_back(self) -> Readback:
        return read_back(self._maps)

    def ring(self) -> EventRings | None:
        return self._ring

    def close(self) -> None:
        self._ring.close()
        self._loaded.close()

    def _failures(self) -> Mapping[str, int]:
        """What the programs could not write, by map."""
        metrics = self.metrics()
        lost = {
            reason: sum(metrics.get((reason, direction), (0, 0))[0] for direction in range(MetricsLayout.DIRECTIONS))
            for reason in Reason
        }
        connections, fragments = lost[Reason.CT_INSERT_FAILED], lost[Reason.FRAGMENT_TRACKING]
        return {"ct4": connections, "ct6": connections, "fragments": fragments, OUTER: self.event_counts()["lost"]}

    def _rule_at(self, record: int) -> int:
        return self._committer.policy.rule.value(record, self.revision) if record else 0
