"""Text: frontends and backends as people write them."""

from __future__ import annotations

from ringfence.abi import BackendState, ServiceScope
from ringfence.service.row import Address, Backend, Frontend, ServiceRow
from ringfence.traffic import format_protocol

_MOST_BACKENDS = 8
#: What stands before a service's name where a workload's could stand too.
MARK = "service/"


def place_text(address: Address, port: int) -> str:
    """An address with a port: `10.0.0.1:80`, `[fd00::1]:80`."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def frontend_text(frontend: Frontend) -> str:
    """`10.96.0.10:80/TCP`; any other port of an address is `*`."""
    scope = " from outside" if frontend.scope == ServiceScope.OUTSIDE else ""
    if not frontend.port:
        return f"{place_text(frontend.address, 0).removesuffix('0')}*{scope}"
    return f"{place_text(frontend.address, frontend.port)}/{format_protocol(frontend.protocol)}{scope}"


def backend_text(backend: Backend, state: BackendState = BackendState.ACTIVE) -> str:
    """`10.0.0.2:8080`, and its state where that is not active."""
    said = "" if state is BackendState.ACTIVE else f" ({state.name.lower()})"
    return place_text(*backend) + said


def row_text(row: ServiceRow | None) -> str:
    """What a frontend leads to."""
    if row is None:
        return "gone"
    if row.no_port:
        return f"{row.name}: no such port"
    told = [backend_text(*each) for each in row.backends[:_MOST_BACKENDS]]
    more = [f"and {len(row.backends) - _MOST_BACKENDS} more"] if len(row.backends) > _MOST_BACKENDS else []
    return f"{row.name}: {', '.join([*told, *more]) or 'no backend'}"
