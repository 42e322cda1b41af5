"""Connections asked for as flows are: the elements of the conntrack maps as events, for the terms of a flow filter.

So `--from app=web` means the same of a connection that it means of a flow. What flows have no term for, the state, is a
term of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from ringfence.abi import EVENT, CtFlag, CtState, CtStatus
from ringfence.errors import BadInput
from ringfence.flow.columns import Batch, Mask
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names
from ringfence.flow.filter import FlowFilter
from ringfence.traffic import Protocol

Rows = npt.NDArray[Any]
#: A connection of which no flag of `CtState` says anything yet.
OPENING: Final = "opening"
STATES: Final = (OPENING, *(flag.name.lower() for flag in CtState))
_ECHO_REQUEST: Final = {Protocol.ICMP: 8, Protocol.ICMPV6: 128}
_IPV4_AT: Final = 12
_ROW_BITS: Final = 16


@dataclass(frozen=True, slots=True)
class ConnectionFilter:
    """Which connections somebody means: all that a filter of flows and one of the states mean; by default, all."""

    flows: FlowFilter = field(default_factory=FlowFilter)
    states: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls,
        source: Sequence[str] = (),
        destination: Sequence[str] = (),
        port: str | None = None,
        protocol: str | None = None,
        identity: int | None = None,
        states: Sequence[str] = (),
    ) -> Self:
        """Read the terms of `bpf ct`. Raises `BadInput`."""
        for state in states:
            if state not in STATES:
                raise BadInput(f"no state {state!r} of a connection; there are: {', '.join(STATES)}")
        given = {"from": source, "to": destination, "port": port, "protocol": protocol, "identity": identity}
        fields = {name: value for name, value in given.items() if value not in (None, (), [])}
        return cls(FlowFilter.from_fields(fields), tuple(states))

    def __bool__(self) -> bool:
        """Whether it leaves any out."""
        return bool(self.flows.fields or self.states)

    def mask(self, keys: Rows, entries: Rows, names: Names) -> Mask:
        """Which elements of a conntrack map are meant."""
        mask = self.flows.mask(Batch(as_events(keys, entries), names))
        if self.states:
            mask &= np.logical_or.reduce([_is_in(entries["state"], state) for state in self.states])
        return mask


def _is_in(column: Rows, state: str) -> Mask:
    return np.asarray(column == 0 if state == OPENING else (column & CtState[state.upper()]) != 0)


def as_events(keys: Rows, entries: Rows) -> Events:
    """Elements of `ct4` or `ct6` as the events that their opening packets could have written."""
    events = np.zeros(len(keys), EVENT)
    from_high = (entries["verdict"] & np.uint64(CtFlag.FROM_HIGH)) != 0
    low, high = _wide(keys["low_address"]), _wide(keys["high_address"])
    events["source"] = np.where(from_high[:, None], high, low)
    events["destination"] = np.where(from_high[:, None], low, high)
    events["source_port"] = np.where(from_high, keys["high_port"], keys["low_port"])
    events["destination_port"] = np.where(from_high, keys["low_port"], keys["high_port"])
    for side, shift in (("source", 0), ("destination", _ROW_BITS)):
        events[f"{side}_identity"] = entries[f"{side}_identity"]
        events[f"{side}_endpoint"] = (entries["endpoints"] >> np.uint64(shift)) & np.uint64(0xFFFF)
    events["family"] = 4 if keys["low_address"].shape[1:] == (4,) else 6
    events["protocol"] = keys["protocol"]
    for protocol, kind in _ECHO_REQUEST.items():
        events["icmp_type"][keys["protocol"] == protocol] = kind
    events["status"] = CtStatus.ESTABLISHED
    return events


def _wide(addresses: Rows) -> Rows:
    """Sixteen bytes each, IPv4 mapped into ::ffff:0:0/96."""
    if addresses.shape[1:] != (4,):
        return addresses
    wide = np.zeros((len(addresses), 16), np.uint8)
    wide[:, _IPV4_AT - 2 : _IPV4_AT] = 0xFF
    wide[:, _IPV4_AT:] = addresses
    return wide
