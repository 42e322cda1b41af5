"""The documents about the kernel's maps that travel over the API, beside those in `shapes`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class MetricShape(TypedDict):
    """Packets of one reason and direction since the programs were loaded. `reason`: forwarded, or why dropped."""

    reason: str
    direction: str
    packets: int
    bytes: int


class LocalAddress(TypedDict):
    """An address of this host's workloads as the kernel has it. `row` is that of the `endpoints` array, `ifindex` 0 for
    an interface that is gone; `endpoint` is None where the row is nobody's.
    """

    address: str
    row: int
    endpoint: str | None
    ifindex: int
    mac: str
    host_mac: str
    delivery: str
    aggregation: str


class MapChange(TypedDict):
    """One change that the agent made to a map. `value` is None for what was deleted; `because` says what led to it."""

    time: str
    map: str
    action: Literal["set", "delete"]
    key: str
    value: str | None
    revision: int
    because: list[str]


class Element(TypedDict):
    """An element of a map by its decoded key, as a dump shows it: a number, a text, or fields by name."""

    key: Any
    value: NotRequired[Any]


class ElementChanged(TypedDict):
    """An element that was written or deleted by hand, decoded. None: there was, or is, none."""

    map: str
    key: Any
    before: Any
    after: Any
