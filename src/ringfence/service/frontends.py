"""Frontends: what a service, its slices and the workloads of this host come to, as rows for the datapath.

Facts: Kubernetes, "Virtual IPs and Service Proxies": a backend that terminates is used only while none is ready; with a
traffic policy of Local only backends on this node are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ringfence.abi import BackendState, ServiceScope
from ringfence.identity.prefixes import Address
from ringfence.labels import Labels
from ringfence.policy.services import EndpointSlice, Service, ServicePort, SliceEndpoint
from ringfence.service.maglev import DEFAULT_SIZE, maglev
from ringfence.service.row import Backend, Frontend, ServiceRow
from ringfence.traffic import Protocol

Rows = dict[Frontend, ServiceRow]


@dataclass(frozen=True, slots=True)
class Member:
    """A workload of this host, as services see it."""

    labels: Labels
    addresses: tuple[Address, ...]

    def port_named(self, name: str, protocol: str) -> int | None:
        """The number that the workload has for a port's name."""
        for label in self.labels.ports:
            if label.key == f"{name}/{protocol}" and label.value:
                return int(label.value.split(",")[0])
        return None


@dataclass(frozen=True, slots=True)
class Node:
    """What services are to know of this host."""

    addresses: frozenset[Address] = frozenset()
    members: Sequence[Member] = ()
    maglev_size: int = DEFAULT_SIZE
    local: frozenset[Address] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class _Candidate:
    backend: Backend
    state: BackendState
    serving: bool  # terminating, but still to be used where nothing else is


def service_rows(service: Service, slices: Iterable[EndpointSlice], node: Node) -> Rows:
    """All frontends of a service, and the rows for other ports of its addresses."""
    listed = list(slices)
    rows: Rows = {}
    for port in service.ports:
        candidates = list(_of_slices(port, service, listed) if listed else _of_members(port, service, node))
        for frontend, row in _of_port(service, port, _unique(candidates), node):
            rows[frontend] = row
    for address in own_addresses(service):
        rows[Frontend(address, 0, 0)] = ServiceRow(service.path, f"{service.path} other ports", no_port=True)
    return rows


def own_addresses(service: Service) -> tuple[Address, ...]:
    """Every address that a service has to itself; a node port's is the node's."""
    return (*service.addresses, *service.external, *service.balancer)


def _of_port(
    service: Service, port: ServicePort, candidates: list[_Candidate], node: Node
) -> Iterator[tuple[Frontend, ServiceRow]]:
    number = Protocol[port.protocol]
    base = ServiceRow(
        name=service.path,
        group=f"{service.path} {port.name or port.port}/{port.protocol}",
        backends=tuple((each.backend, each.state) for each in candidates),
        maglev=service.maglev,
        affinity=service.affinity,
    )
    here = _local(candidates, node)
    for address in service.addresses:
        row = _table(base, here if service.inside_local else candidates, address, node)
        yield Frontend(address, port.port, number), replace(row, inside=True)
    reached = [(address, port.port, False) for address in service.external]
    reached += [(address, port.port, True) for address in service.balancer]
    reached += [(address, port.node_port, False) for address in sorted(node.addresses, key=str) if port.node_port]
    for address, at, balanced in reached:
        ranged = replace(base, source_ranges=service.source_ranges) if balanced else base
        yield Frontend(address, at, number), _table(ranged, candidates, address, node)
        if service.outside_local:
            outside = Frontend(address, at, number, ServiceScope.OUTSIDE)
            yield outside, _table(ranged, here, address, node)


def _local(candidates: list[_Candidate], node: Node) -> list[_Candidate]:
    return [each for each in candidates if each.backend.address in node.local]


def _table(base: ServiceRow, usable: list[_Candidate], address: Address, node: Node) -> ServiceRow:
    """New connections go to what is ready, of the address' family; while nothing is, to what still serves."""
    places = {backend: index for index, (backend, _) in enumerate(base.backends)}
    family = [each for each in usable if each.backend.address.version == address.version]
    chosen = [each for each in family if each.state is BackendState.ACTIVE] or [each for each in family if each.serving]
    table = [places[each.backend] for each in chosen]
    if base.maglev:
        names = [f"{each.backend.address} {each.backend.port}" for each in chosen]
        table = [table[index] for index in maglev(names, node.maglev_size)]
    return replace(base, table=tuple(table))


def _unique(candidates: list[_Candidate]) -> list[_Candidate]:
    """One for each backend; of two slices that name it, the one by which it is ready."""
    found: dict[Backend, _Candidate] = {}
    for each in candidates:
        known = found.get(each.backend)
        if known is None or (each.state is BackendState.ACTIVE and known.state is not BackendState.ACTIVE):
            found[each.backend] = each
    return [found[backend] for backend in sorted(found, key=lambda backend: (backend.address.version, backend))]


def _of_slices(port: ServicePort, service: Service, slices: list[EndpointSlice]) -> Iterator[_Candidate]:
    for each in slices:
        numbers = [number for name, protocol, number in each.ports if (name, protocol) == (port.name, port.protocol)]
        for endpoint in each.endpoints:
            state = _state(endpoint, service)
            serving = endpoint.terminating and endpoint.serving
            for address in endpoint.addresses:
                for number in numbers:
                    yield _Candidate(Backend(address, number), state, serving)


def _state(endpoint: SliceEndpoint, service: Service) -> BackendState:
    if endpoint.terminating:
        return BackendState.TERMINATING
    ready = endpoint.ready or service.not_ready_too
    return BackendState.ACTIVE if ready else BackendState.QUARANTINED


def _of_members(port: ServicePort, service: Service, node: Node) -> Iterator[_Candidate]:
    """Without a slice the workloads of this host that the selector means are the backends."""
    if not service.selector:
        return
    for member in node.members:
        if not _selects(service, member.labels):
            continue
        target = port.target if isinstance(port.target, int) else member.port_named(port.target, port.protocol)
        if target is None:
            continue
        for address in member.addresses:
            yield _Candidate(Backend(address, target), BackendState.ACTIVE, serving=False)


def _selects(service: Service, labels: Labels) -> bool:
    if labels.namespace != service.namespace:
        return False
    return all(any(label.value == value for label in labels.with_key(key)) for key, value in service.selector)
