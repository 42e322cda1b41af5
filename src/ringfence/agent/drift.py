"""Drift: where the kernel's maps are not as the engine wants them, because somebody else has changed, lost or added
something. Each difference is told in words, with the labels that numbers stand for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ringfence.abi import Delivery, Reason, Verdict
from ringfence.agent.wording import DELIVERIES, key_text, peer_text, place_text, rule_text
from ringfence.api import shapes
from ringfence.datapath.addresses import Network
from ringfence.datapath.readback import Readback, RowRead
from ringfence.datapath.shapes import place_of
from ringfence.engine.commands import Peer
from ringfence.engine.endpoints import Endpoint
from ringfence.engine.engine import Engine
from ringfence.engine.known import Known
from ringfence.policy.mapstate import PolicyKey
from ringfence.verdict import RuleText, reason_text

Change = Literal["changed", "lost", "added"]
#: The numbers that mean something; any other may stand in a map as well.
VERDICTS: Final = frozenset(map(int, Verdict))
REASONS: Final = frozenset(map(int, Reason))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the engine wants the kernel to hold, as it is at one moment. `deliveries` are those of hooked rows."""

    entries: Mapping[PolicyKey, RuleText]
    peers: Mapping[Network, Peer]
    endpoints: tuple[Endpoint, ...]
    deliveries: Mapping[int, Delivery]


def wanted_by(engine: Engine, deliveries: Mapping[int, Delivery]) -> Wanted:
    """Everything that an engine wants now."""
    keys = [*(key for key, _ in engine.state.map.items()), *engine.manual]
    entries = {key: text for key in keys if (text := engine.wanted(key))}
    places = engine.endpoints.row_at
    peers = {network: Peer(*known, places(network)) for network, known in engine.state.ipcache.items()}
    return Wanted(entries, peers, tuple(engine.endpoints), dict(deliveries))


def differences(wanted: Wanted, found: Readback, known: Known) -> list[shapes.Drift]:
    """All differences, map by map."""
    comparison = _Comparison(wanted, found, known)
    parts = (
        comparison.entries(),
        comparison.records(),
        comparison.rules(),
        comparison.prefixes(),
        comparison.live_shapes(),
        comparison.rows(),
        comparison.interfaces(),
        comparison.slots(),
    )
    return [each for part in parts for each in part]


def drift(place: str, change: Change, entry: str, wanted: str | None, found: str | None) -> shapes.Drift:
    """One difference."""
    return {"map": place, "change": change, "entry": entry, "wanted": wanted, "found": found}


class _Comparison:
    def __init__(self, wanted: Wanted, found: Readback, known: Known) -> None:
        self._wanted = wanted
        self._found = found
        self._known = known

    def entries(self) -> Iterator[shapes.Drift]:
        """Keys, and the rules that their records name."""
        for key, text in self._wanted.entries.items():
            number = self._found.entries.get(key)
            if number is None:
                yield drift("policy", "lost", key_text(key, self._known), text.text, None)
            elif number == 0 or self._known.rule_of(number) != text:
                yield drift("policy", "changed", key_text(key, self._known), text.text, rule_text(number, self._known))
        for key, number in self._found.entries.items():
            if key not in self._wanted.entries:
                yield drift("policy", "added", key_text(key, self._known), None, rule_text(number, self._known))

    def records(self) -> Iterator[shapes.Drift]:
        """A record is of one key: with two, changing one entry would change the other."""
        users = Counter(self._found.records.values())
        for key, row in self._found.records.items():
            if users[row] > 1:
                yield drift(
                    "policy", "changed", key_text(key, self._known), "a record of its own", f"record {row}, shared"
                )

    def rules(self) -> Iterator[shapes.Drift]:
        """What the numbers that entries name mean to the datapath."""
        for number, row in self._found.rules.items():
            text = self._known.rule_of(number)
            if text and (text.precedence, text.verdict, text.reason) != row:
                meant = _row_text(text.precedence, text.verdict, text.reason)
                yield drift("rules", "changed", f"rule {number} ({text.text})", meant, _row_text(*row))

    def prefixes(self) -> Iterator[shapes.Drift]:
        """Who the addresses are."""
        for network, peer in self._wanted.peers.items():
            read = self._found.prefixes.get(network)
            if read is None:
                yield drift("ipcache", "lost", str(network), peer_text(peer, self._known), None)
            elif read != peer:
                yield drift(
                    "ipcache", "changed", str(network), peer_text(peer, self._known), peer_text(read, self._known)
                )
        for network, peer in self._found.prefixes.items():
            if network not in self._wanted.peers:
                yield drift("ipcache", "added", str(network), None, peer_text(peer, self._known))
        for told in self._found.misplaced:
            place, _, entry = told.partition(": ")
            yield drift(place, "added", entry, None, "a key that does not belong there")

    def live_shapes(self) -> Iterator[shapes.Drift]:
        """Which key shapes are probed: with one too few, entries are not found."""
        words: Counter[tuple[int, int]] = Counter()
        for tier, direction, shape in set(map(place_of, self._wanted.entries)):
            words[tier, direction] += 1 << shape
        for tier, row in enumerate(self._found.shapes):
            for direction, word in enumerate(row):
                meant = words[tier, direction]
                if word != meant:
                    entry = f"tier {tier}, direction {direction}"
                    yield drift("live shapes", "changed", entry, f"{meant:#x}", f"{word:#x}")

    def rows(self) -> Iterator[shapes.Drift]:
        """Where the endpoints are and how packets get to them."""
        wanted = {each.row: each for each in self._wanted.endpoints if each.workload.ifindex}
        for row, endpoint in wanted.items():
            read, name = self._found.endpoints.get(row), endpoint.workload.name
            delivery = self._wanted.deliveries.get(row, Delivery(read.delivery) if read and _valid(read) else None)
            workload = endpoint.workload
            number = delivery if delivery is not None else Delivery.STACK
            settings = int(number), int(workload.aggregation)
            meant = RowRead(workload.ifindex, row, *settings, workload.mac, workload.host_mac)
            if read is None:
                yield drift("endpoints", "lost", name, place_text(meant), None)
            elif read != meant:
                yield drift("endpoints", "changed", name, place_text(meant), place_text(read))
        for row, read in self._found.endpoints.items():
            if row not in wanted:
                yield drift("endpoints", "added", f"row {row}", None, place_text(read))

    def interfaces(self) -> Iterator[shapes.Drift]:
        """Whose the interfaces are."""
        wanted = {each.workload.ifindex: each for each in self._wanted.endpoints if each.workload.ifindex}
        for ifindex, endpoint in wanted.items():
            row = self._found.interfaces.get(ifindex)
            if row != endpoint.row:
                change: Change = "lost" if row is None else "changed"
                found = None if row is None else f"row {row}"
                told = f"row {endpoint.row}"
                yield drift("interfaces", change, f"{ifindex} ({endpoint.workload.name})", told, found)
        for ifindex, row in self._found.interfaces.items():
            if ifindex not in wanted:
                yield drift("interfaces", "added", str(ifindex), None, f"row {row}")

    def slots(self) -> Iterator[shapes.Drift]:
        """What would come into force by itself with a later revision."""
        for name, count in self._found.ahead.items():
            if count:
                yield drift(name, "added", "slots of revisions to come", "none", str(count))


def _valid(row: RowRead) -> bool:
    return row.delivery in DELIVERIES


def _row_text(precedence: int, verdict: int, reason: int) -> str:
    named = Verdict(verdict).name.lower() if verdict in VERDICTS else f"verdict {verdict}"
    why = reason_text(Reason(reason)) if reason in REASONS else str(reason)
    return f"{named}, precedence {precedence}, reason {why}"
