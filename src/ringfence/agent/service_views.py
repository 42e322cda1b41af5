"""Services as the API tells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ringfence.abi import ServiceFlag, ServiceScope
from ringfence.api.service_shapes import (
    BackendShape,
    BalancedShape,
    BalancingShape,
    FrontendShape,
    ServiceShape,
)
from ringfence.datapath.balancing import BackendFound, FrontendFound
from ringfence.engine.services import Services
from ringfence.policy.services import EndpointSlice, Service
from ringfence.service.row import Frontend, ServiceRow
from ringfence.service.text import backend_text, place_text
from ringfence.traffic import format_protocol


def services(known: Services) -> list[ServiceShape]:
    """All of them, by namespace and name."""
    return [service(known, each) for each in known.services()]


def service(known: Services, found: Service) -> ServiceShape:
    """One of them."""
    rows, slices = known.rows_of(found), known.slices_of(found)
    return {
        "name": found.path,
        "frontends": [_frontend(frontend, row) for frontend, row in rows.items() if frontend.port],
        "algorithm": "maglev" if found.maglev else "random",
        "affinity_seconds": found.affinity,
        "source_ranges": [str(each) for each in found.source_ranges],
        "selector": dict(found.selector),
        "labels": [str(each) for each in found.labels],
        "slices": {each.path: _addresses(each) for each in sorted(slices, key=lambda each: each.path)},
        "origin": str(found.origin),
    }


def _addresses(found: EndpointSlice) -> list[str]:
    return [str(address) for endpoint in found.endpoints for address in endpoint.addresses]


def _frontend(frontend: Frontend, row: ServiceRow) -> FrontendShape:
    backends: list[BackendShape] = [
        {"address": str(backend.address), "port": backend.port, "state": state.name.lower()}
        for backend, state in row.backends
        if backend.address.version == frontend.address.version
    ]
    return {
        "address": str(frontend.address),
        "port": frontend.port,
        "protocol": format_protocol(frontend.protocol),
        "outside": frontend.scope == ServiceScope.OUTSIDE,
        "backends": backends,
        "new": _named(row, dict.fromkeys(row.table)),
    }


def _named(row: ServiceRow, indexes: Iterable[int]) -> list[str]:
    return [backend_text(row.backends[index][0]) for index in indexes]


def balancing(frontends: Sequence[FrontendFound], backends: Sequence[BackendFound], known: Services) -> BalancingShape:
    """What the kernel has, with the names that the agent has for it."""
    places = {found.row: place_text(*found.backend) for found in backends}
    return {
        "frontends": [_balanced(found, places, known) for found in frontends],
        "backends": [
            {
                "row": found.row,
                "address": str(found.backend.address),
                "port": found.backend.port,
                "group": found.group,
                "state": found.state.name.lower(),
            }
            for found in backends
        ],
    }


def _balanced(found: FrontendFound, places: Mapping[int, str], known: Services) -> BalancedShape:
    frontend, wanted = found.frontend, known.wanted(found.frontend)
    return {
        "row": found.row,
        "address": str(frontend.address),
        "port": frontend.port,
        "protocol": format_protocol(frontend.protocol) if frontend.protocol else "any",
        "outside": frontend.scope == ServiceScope.OUTSIDE,
        "service": wanted.name if wanted else None,
        "flags": [flag.name.lower() for flag in ServiceFlag if found.flags & flag],
        "affinity_seconds": found.affinity,
        "source_ranges": [str(each) for each in found.source_ranges],
        "entries": sum(found.picks.values()),
        "picks": {places.get(row, f"row {row}"): count for row, count in found.picks.items()},
    }
