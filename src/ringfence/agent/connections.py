"""Connections for people: what stands in the two conntrack maps, turned to the side that opened each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ringfence.abi import CtFlag, CtState
from ringfence.api.shapes import ConnectionShape
from ringfence.engine.known import Known
from ringfence.flow.decode import address_text

_HALF = 1 << 32


@dataclass(frozen=True, slots=True)
class Clock:
    """The kernel's tick count now (its lower 32 bits) and the ticks of a second."""

    ticks: int
    rate: int

    def seconds_since(self, ticks: int) -> float:
        """How long ago a tick was."""
        return round((self.ticks - ticks) % _HALF / self.rate, 3)


def connections(
    keys: npt.NDArray[Any],
    entries: npt.NDArray[Any],
    timeouts: npt.NDArray[np.int64],
    clock: Clock,
    known: Known,
    rule_at: Callable[[int], int],
) -> Iterator[ConnectionShape]:
    """The elements of one map. `timeouts` are in seconds; `rule_at` gives the rule number that a record names now."""
    for key, entry, timeout in zip(keys, entries, timeouts.tolist(), strict=True):
        shape = _connection(key, entry, clock, known, rule_at)
        shape["remaining_seconds"] = round(max(0.0, timeout - shape["idle_seconds"]), 3)
        yield shape


def _connection(key: Any, entry: Any, clock: Clock, known: Known, rule_at: Callable[[int], int]) -> ConnectionShape:
    word = int(entry["verdict"])
    sides = ("high", "low") if word & CtFlag.FROM_HIGH else ("low", "high")
    (source, source_port), (destination, destination_port) = (_end(key, side) for side in sides)
    identities = int(entry["source_identity"]), int(entry["destination_identity"])
    state = int(entry["state"])
    return {
        "protocol": int(key["protocol"]),
        "source": source,
        "source_port": source_port,
        "destination": destination,
        "destination_port": destination_port,
        "source_identity": identities[0],
        "source_labels": list(known.labels_of(identities[0])),
        "destination_identity": identities[1],
        "destination_labels": list(known.labels_of(identities[1])),
        "revision": word >> 32,
        "state": [flag.name.lower() for flag in CtState if state & flag],
        "idle_seconds": clock.seconds_since(int(entry["last_seen"])),
        "remaining_seconds": 0.0,
        "age_seconds": clock.seconds_since(int(entry["created"])),
        "packets": int(entry["packets"][0]),
        "bytes": int(entry["bytes"][0]),
        "reply_packets": int(entry["packets"][1]),
        "reply_bytes": int(entry["bytes"][1]),
        "tcp_flags": entry["tcp_flags"].tolist(),
        "egress_rule": _rule(rule_at(int(entry["egress_record"])), known),
        "ingress_rule": _rule(rule_at(int(entry["ingress_record"])), known),
    }


def _end(key: Any, side: str) -> tuple[str, int]:
    address = key[f"{side}_address"]
    if len(address) == 4:
        return ".".join(map(str, address.tolist())), int(key[f"{side}_port"])
    return address_text(address.tobytes(), 6), int(key[f"{side}_port"])


def _rule(number: int, known: Known) -> str:
    rule = known.rule_of(number) if number else None
    return rule.text if rule else ""
