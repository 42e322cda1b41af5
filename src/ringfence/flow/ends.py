"""Terms for one end of a flow: who it is, by address, identity, labels, pod, namespace, endpoint or port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, Literal, Protocol

import numpy as np

from ringfence.errors import BadInput
from ringfence.flow.columns import Batch, Mask, in_network, is_in
from ringfence.flow.label_terms import parse_selector
from ringfence.flow.pods import pod_of
from ringfence.identity.reserved import Reserved
from ringfence.labels import DEFAULT_NAMESPACE, Labels
from ringfence.selector import Selector
from ringfence.traffic import LAST_PORT, WITH_PORTS, parse_pattern
from ringfence.traffic import Protocol as IpProtocol

Side = Literal["source", "destination"]
_TYPED: Final = (IpProtocol.ICMP, IpProtocol.ICMPV6)
_LAST_IDENTITY: Final = 0xFFFFFFFF
_MOST_LABEL_SETS: Final = 65536  # remembered by one term


class EndTerm(Protocol):
    """What an end is asked for by."""

    def mask(self, batch: Batch, side: Side) -> Mask:
        """Which rows have an end that this term means."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a prefix."""

    network: IPv4Network | IPv6Network

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address or a prefix."""
        try:
            return cls(ip_network(text, strict=False))
        except ValueError as error:
            raise BadInput(f"{text!r} is no address: write 10.0.0.1, 10.0.0.0/8 or fd00::/16") from error

    def mask(self, batch: Batch, side: Side) -> Mask:
        return np.asarray(in_network(batch[side], self.network) & (batch["family"] == self.network.version))


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity by number."""

    number: int

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read a number, or the name of a reserved identity."""
        reserved = {each.label.key: each for each in Reserved if each is not Reserved.UNKNOWN}
        named = reserved.get(text.removeprefix("reserved:"))
        if named is not None:
            return cls(int(named))
        if text.isdecimal() and int(text) <= _LAST_IDENTITY:
            return cls(int(text))
        raise BadInput(f"{text!r} is no identity: write its number, or one of {', '.join(reserved)}")

    def mask(self, batch: Batch, side: Side) -> Mask:
        return is_in(batch[f"{side}_identity"], (self.number,))


@dataclass(frozen=True, slots=True)
class Labelled:
    """Whoever has the labels that a selector means."""

    selector: Selector
    # Batches name the same few label sets over and over.
    _known: dict[tuple[str, ...], bool] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Labelled:
        """Read a label selector."""
        return cls(parse_selector(text))

    def mask(self, batch: Batch, side: Side) -> Mask:
        return batch.where(f"{side}_identity", lambda number: self._means(batch.names.labels_of(number)))

    def _means(self, labels: tuple[str, ...]) -> bool:
        known = self._known.get(labels)
        if known is None:
            if len(self._known) >= _MOST_LABEL_SETS:
                self._known.clear()
            known = self._known[labels] = self.selector.matches(Labels.parse(labels))
        return known


@dataclass(frozen=True, slots=True)
class EndpointName:
    """An endpoint of this host by its whole name."""

    name: str

    def mask(self, batch: Batch, side: Side) -> Mask:
        return batch.where(f"{side}_endpoint", lambda row: bool(row) and batch.names.endpoint_of(row) == self.name)


@dataclass(frozen=True, slots=True)
class Pod:
    """Pods of a namespace whose names begin alike; an empty namespace is any, an empty prefix all that are in it."""

    namespace: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Pod:
        """Read `namespace/prefix`, `namespace/`, `/prefix` or, in the namespace default, `prefix`."""
        namespace, slash, prefix = text.partition("/")
        if not slash:
            namespace, prefix = DEFAULT_NAMESPACE, namespace
        if "/" in prefix or not (prefix or (namespace and slash)):
            raise BadInput(
                f"{text!r} is no pod: write namespace/name, name (in {DEFAULT_NAMESPACE}), namespace/ or /name"
            )
        return cls(namespace, prefix)

    @classmethod
    def all_of(cls, namespace: str) -> Pod:
        """Whatever is in a namespace, also what is not on this host."""
        if not namespace or "/" in namespace:
            raise BadInput(f"{namespace!r} is no namespace")
        return cls(namespace)

    def mask(self, batch: Batch, side: Side) -> Mask:
        rows = f"{side}_endpoint"
        found = batch.where(rows, lambda row: self._means(_name(batch, row)))
        # Of bare names, and of whoever is not on this host, the labels say the namespace.
        bare = batch.where(rows, lambda row: self._may_mean(_name(batch, row)))
        if not bare.any():
            return found
        return found | (bare & batch.where(f"{side}_identity", lambda number: self._in_namespace(batch, number)))

    def _means(self, name: str) -> bool:
        namespace, pod = pod_of(name, ())
        return "/" in name and self.namespace in ("", namespace) and pod.startswith(self.prefix)

    def _may_mean(self, name: str) -> bool:
        return "/" not in name and name.startswith(self.prefix)

    def _in_namespace(self, batch: Batch, identity: int) -> bool:
        return self.namespace in ("", pod_of(None, batch.names.labels_of(identity))[0])


def _name(batch: Batch, row: int) -> str:
    return (row and batch.names.endpoint_of(row)) or ""


@dataclass(frozen=True, slots=True)
class Port:
    """A port, of one protocol or of any that has ports; an ICMP type only by its protocol. None is every port."""

    number: int | None
    protocol: int | None = None

    @classmethod
    def parse(cls, text: str) -> Port:
        """Read `8080`, `8080/TCP`, `any/UDP` or `echo-request/ICMP`."""
        if text.isdecimal() and int(text) <= LAST_PORT:
            return cls(int(text))
        try:
            pattern = parse_pattern(text)
        except ValueError as error:
            raise BadInput(f"{error}, or 8080 for whatever protocol") from error
        return cls(pattern.port, pattern.protocol)

    def mask(self, batch: Batch, side: Side) -> Mask:
        mask = is_in(batch["protocol"], WITH_PORTS if self.protocol is None else (self.protocol,))
        if self.number is None:
            return mask
        column = "icmp_type" if self.protocol in _TYPED else f"{side}_port"
        return np.asarray(mask & (batch[column] == self.number))


def parse_peer(text: str) -> EndTerm:
    """Read an end as people type it: digits are an identity, `key=value` a label, what is no address a name."""
    if text.isdecimal():
        return Identity.parse(text)
    try:
        return Address(ip_network(text, strict=False))
    except ValueError:
        return Labelled.parse(text) if "=" in text or ":" in text else EndpointName(text)


ParseEnd = Callable[[str], EndTerm]
#: What an end may be asked for by: the fields `source_...`, `destination_...` and, for either end, the bare name.
END_TERMS: Final[dict[str, ParseEnd]] = {
    "ip": Address.parse,
    "pod": Pod.parse,
    "label": Labelled.parse,
    "identity": Identity.parse,
    "port": Port.parse,
    "namespace": Pod.all_of,
    "endpoint": EndpointName,
}
