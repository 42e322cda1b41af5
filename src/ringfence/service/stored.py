"""Services as plain values that outlive a process, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from ringfence.labels import Labels
from ringfence.policy.rule import Origin
from ringfence.policy.services import EndpointSlice, Service, ServicePort, SliceEndpoint

_SWITCHES = ("maglev", "inside_local", "outside_local", "not_ready_too")


def write(what: Service | EndpointSlice) -> dict[str, object]:
    """A service's or slice's fields by name."""
    return write_service(what) if isinstance(what, Service) else write_slice(what)


def read(fields: Mapping[str, Any]) -> Service | EndpointSlice:
    """The inverse of `write`."""
    return read_slice(fields) if "endpoints" in fields else read_service(fields)


def write_service(service: Service) -> dict[str, object]:
    """A service's fields by name."""
    return {
        "namespace": service.namespace,
        "name": service.name,
        **{each: [str(one) for one in getattr(service, each)] for each in ("addresses", "external", "balancer")},
        "source_ranges": [str(each) for each in service.source_ranges],
        "ports": [[each.port, each.target, each.protocol, each.name, each.node_port] for each in service.ports],
        "selector": dict(service.selector),
        "labels": [str(each) for each in service.labels],
        "affinity": service.affinity,
        **{each: getattr(service, each) for each in _SWITCHES},
        "origin": list(_origin(service.origin)),
    }


def read_service(fields: Mapping[str, Any]) -> Service:
    """The inverse of `write_service`."""
    return Service(
        namespace=fields["namespace"],
        name=fields["name"],
        addresses=tuple(map(ip_address, fields["addresses"])),
        ports=tuple(ServicePort(*each) for each in fields["ports"]),
        selector=tuple(sorted(fields["selector"].items())),
        external=tuple(map(ip_address, fields["external"])),
        balancer=tuple(map(ip_address, fields["balancer"])),
        source_ranges=tuple(map(ip_network, fields["source_ranges"])),
        affinity=fields["affinity"],
        labels=Labels.parse(fields.get("labels", ())),
        **{each: bool(fields[each]) for each in _SWITCHES},
        origin=Origin(*fields["origin"]),
    )


def write_slice(found: EndpointSlice) -> dict[str, object]:
    """A slice's fields by name."""
    return {
        "namespace": found.namespace,
        "name": found.name,
        "service": found.service,
        "endpoints": [
            [[str(address) for address in each.addresses], each.ready, each.serving, each.terminating, each.node]
            for each in found.endpoints
        ],
        "ports": [list(each) for each in found.ports],
        "origin": list(_origin(found.origin)),
    }


def read_slice(fields: Mapping[str, Any]) -> EndpointSlice:
    """The inverse of `write_slice`."""
    return EndpointSlice(
        namespace=fields["namespace"],
        name=fields["name"],
        service=fields["service"],
        endpoints=tuple(
            SliceEndpoint(tuple(map(ip_address, addresses)), *rest) for addresses, *rest in fields["endpoints"]
        ),
        ports=tuple((name, protocol, number) for name, protocol, number in fields["ports"]),
        origin=Origin(*fields["origin"]),
    )


def _origin(origin: Origin) -> tuple[str, int, int]:
    return origin.file, origin.line, origin.document
