"""Filtering: which events of a batch somebody asked for, decided on columns before any row becomes a `Flow`.

An end is asked for by label (`app=web`, `k8s:app=web`, `reserved:host`), identity number, address or prefix, or
endpoint name. Several terms for one end are alternatives; the two ends, the type and the port must all agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ringfence.abi import Verdict
from ringfence.errors import BadInput
from ringfence.flow.decode import Events
from ringfence.flow.enrich import Names, labels_by_number
from ringfence.traffic import TrafficPattern, parse_pattern

Side = Literal["source", "destination"]
Mask = npt.NDArray[np.bool_]
_VERDICTS = {"drop": Verdict.DENY, "allow": Verdict.ALLOW}
_MAPPED_BITS = 96


@dataclass(frozen=True, slots=True)
class EndFilter:
    """One term for one end; exactly one field is set."""

    identity: int | None = None
    network: IPv4Network | IPv6Network | None = None
    label: str | None = None
    endpoint: str | None = None

    @classmethod
    def parse(cls, term: str) -> EndFilter:
        """Read a term as people type it: digits are an identity, an address an address, `key=value` a label."""
        if term.isdigit():
            return cls(identity=int(term))
        try:
            return cls(network=ip_network(term, strict=False))
        except ValueError:
            return cls(label=term) if "=" in term or ":" in term else cls(endpoint=term)

    def mask(self, events: Events, side: Side, names: Names) -> Mask:
        """Which rows have an end that this term asks for."""
        identities: npt.NDArray[Any] = events[f"{side}_identity"]
        if self.identity is not None:
            return np.asarray(identities == self.identity)
        if self.network is not None:
            return _in_network(events[side], self.network)
        if self.label is not None:
            found = [n for n, labels in labels_by_number(identities, names).items() if _has(labels, self.label)]
            return np.isin(identities, found)
        rows: npt.NDArray[Any] = events[f"{side}_endpoint"]
        found = [int(row) for row in np.unique(rows) if row and names.endpoint_of(int(row)) == self.endpoint]
        return np.isin(rows, found)


def _texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadInput(f"the filter {name!r} is a list of texts")
    return value


def _ends(terms: list[str]) -> tuple[EndFilter, ...]:
    return tuple(EndFilter.parse(term) for term in terms)


def _has(labels: tuple[str, ...], wanted: str) -> bool:
    """Whether a label is among these; one without a source matches any source."""
    return any(label == wanted or label.partition(":")[2] == wanted for label in labels)


def _in_network(addresses: npt.NDArray[Any], network: IPv4Network | IPv6Network) -> Mask:
    mapped = network.version == 4
    prefix = network.prefixlen + (_MAPPED_BITS if mapped else 0)
    base = (0xFFFF << 32) | int(network.network_address) if mapped else int(network.network_address)
    bits = ((1 << prefix) - 1) << (128 - prefix)
    mask, want = (np.frombuffer(n.to_bytes(16, "big"), np.uint8) for n in (bits, base))
    return np.asarray(((addresses & mask) == want).all(axis=1))


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """What somebody asked for; an empty filter lets everything through."""

    verdict: Verdict | None = None
    source: tuple[EndFilter, ...] = ()
    destination: tuple[EndFilter, ...] = ()
    traffic: TrafficPattern | None = None

    @classmethod
    def parse(
        cls,
        type: str | None,  # noqa: A002 - the name of the query parameter
        source: list[str],
        destination: list[str],
        port: str | None,
    ) -> FlowFilter:
        """Read the terms of a request. Raises `BadInput` for a type or port that there is not."""
        if type is not None and type not in _VERDICTS:
            raise BadInput(f"no event type {type!r}; there are: {', '.join(sorted(_VERDICTS))}")
        try:
            traffic = parse_pattern(port) if port else None
        except ValueError as error:
            raise BadInput(str(error)) from error
        return cls(_VERDICTS[type] if type else None, _ends(source), _ends(destination), traffic)

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> FlowFilter:
        """Read a filter from a JSON object: `type`, `from`, `to` (lists) and `port`. Raises `BadInput`."""
        unknown = sorted(set(fields) - {"type", "from", "to", "port"})
        if unknown:
            raise BadInput(f"no filter {unknown[0]!r}; there are: from, port, to, type")
        kind, port = fields.get("type"), fields.get("port")
        source, destination = (_texts(fields.get(name, []), name) for name in ("from", "to"))
        if not isinstance(kind, str | None) or not isinstance(port, str | None):
            raise BadInput("the filters type and port are texts")
        return cls.parse(kind, source, destination, port)

    def select(self, events: Events, names: Names) -> Events:
        """The rows that were asked for, in order."""
        return events[self.mask(events, names)]

    def mask(self, events: Events, names: Names) -> Mask:
        """Which rows were asked for."""
        mask = np.ones(len(events), bool)
        if self.verdict is not None:
            mask &= events["verdict"] == self.verdict
        if self.traffic is not None:
            mask &= events["protocol"] == self.traffic.protocol
            if self.traffic.port is not None:
                mask &= self._port(events, self.traffic.port)
        if self.source:
            mask &= np.logical_or.reduce([term.mask(events, "source", names) for term in self.source])
        if self.destination:
            mask &= np.logical_or.reduce([term.mask(events, "destination", names) for term in self.destination])
        return mask

    @staticmethod
    def _port(events: Events, port: int) -> Mask:
        typed = np.isin(events["protocol"], (1, 58))
        ports = (events["destination_port"] == port) | (events["source_port"] == port)
        return np.asarray(np.where(typed, events["icmp_type"] == port, ports))
