"""The documents about services that travel over the API."""

from __future__ import annotations

from typing_extensions import TypedDict


class BackendShape(TypedDict):
    """Where connections of a service port go. `state`: active, terminating or quarantined (not ready)."""

    address: str
    port: int
    state: str


class FrontendShape(TypedDict):
    """An address and port that clients use, and what it leads to. `new` are the backends that new connections go to."""

    address: str
    port: int
    protocol: str
    outside: bool  # only for what comes in at an uplink
    backends: list[BackendShape]
    new: list[str]


class ServiceShape(TypedDict):
    """A service. `affinity_seconds` is 0 without affinity; `slices` are the EndpointSlices that its backends are of,
    each with all addresses in it. `labels` are its own, as policies see them.
    """

    name: str
    frontends: list[FrontendShape]
    algorithm: str
    affinity_seconds: int
    source_ranges: list[str]
    selector: dict[str, str]
    labels: list[str]
    slices: dict[str, list[str]]
    origin: str


class BalancedShape(TypedDict):
    """A frontend as the kernel has it. `row` is the number that events and conntrack name it by; `picks` counts the
    entries of the table that name each backend.
    """

    row: int
    address: str
    port: int
    protocol: str
    outside: bool
    service: str | None
    flags: list[str]
    affinity_seconds: int
    source_ranges: list[str]
    entries: int
    picks: dict[str, int]


class BackendRowShape(TypedDict):
    """A row of the `backends` array. `group` is the number of the service port."""

    row: int
    address: str
    port: int
    group: int
    state: str


class BalancingShape(TypedDict):
    """What the kernel knows of services."""

    frontends: list[BalancedShape]
    backends: list[BackendRowShape]
