"""The service that a flow asks for: by its name, or by an address and port that are its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

from ringfence.abi import Reason, ServiceScope
from ringfence.errors import BadInput, NotFound
from ringfence.identity.prefixes import Address
from ringfence.labels import DEFAULT_NAMESPACE
from ringfence.policy.explanation.who import Asked
from ringfence.policy.findings import nearest
from ringfence.policy.services import Service
from ringfence.policy.world import Actor, World
from ringfence.service.frontends import Member, Node, own_addresses, service_rows
from ringfence.service.row import Backend, Frontend, ServiceRow
from ringfence.service.text import MARK, frontend_text
from ringfence.traffic import WITH_PORTS, Traffic


@dataclass(frozen=True, slots=True)
class AskedService:
    """A service with what the frontend that is asked for leads to. A headless one has names only, and no frontend."""

    service: Service
    frontend: Frontend | None
    row: ServiceRow
    traffic: Traffic

    @property
    def told(self) -> str:
        """The frontend as people write it."""
        return frontend_text(self.frontend) if self.frontend else f"{self.service.path}, headless"

    @property
    def backends(self) -> list[Backend]:
        """Where new connections go. Without a frontend clients pick an address, and any port of it."""
        chosen = [self.row.backends[place][0] for place in dict.fromkeys(self.row.table)]
        if self.frontend is not None:
            return chosen
        return [Backend(address, self.traffic.port) for address in dict.fromkeys(each.address for each in chosen)]

    def refusal(self, source: Actor) -> Reason | None:
        """Why the datapath drops what a source sends there before any policy is asked; None if it does not."""
        if self.row.no_port:
            return Reason.UNKNOWN_SERVICE_PORT
        if self.row.inside and source.outside:
            return Reason.CLUSTER_ADDRESS
        own = source.address(self.frontend.address.version) if self.frontend else None
        if self.row.source_ranges and not any(own in each for each in self.row.source_ranges if own is not None):
            return Reason.SOURCE_RANGE
        return None if self.row.table else Reason.NO_BACKEND


def asked_service(world: World, source: Actor, destination: Asked, traffic: Traffic) -> AskedService | None:
    """The service that is meant, None for what is none. Raises NotFound for a name that no service has, and BadInput
    for traffic without ports to one by name.
    """
    if destination.name.startswith(MARK):
        return _by_name(world, source, destination.name.removeprefix(MARK), traffic)
    address = _address(destination)
    if address is None or traffic.protocol not in WITH_PORTS:
        return None
    for service in world.services:
        if address in own_addresses(service) or any(port.node_port == traffic.port for port in service.ports):
            rows = service_rows(service, world.services.slices(service.path), node_of(world))
            frontend = _frontend(rows, source, address, traffic)
            if frontend is not None:
                return AskedService(service, frontend, rows[frontend], traffic)
    return None


def node_of(world: World) -> Node:
    """The world as services see a host: every workload is on it."""
    members = [Member(each.labels, each.addresses) for each in world.actors.values() if each.local]
    local = frozenset(address for each in members for address in each.addresses)
    return Node(frozenset(address for node in world.nodes for address in node.addresses), members, local=local)


def _by_name(world: World, source: Actor, name: str, traffic: Traffic) -> AskedService:
    path = name if "/" in name else f"{DEFAULT_NAMESPACE}/{name}"
    service = world.services.service(path)
    if service is None:
        like = nearest(path, (each.path for each in world.services))
        raise NotFound(f"there is no service {path}" + (f"; did you mean {' or '.join(like)}?" if like else ""))
    if traffic.protocol not in WITH_PORTS:
        raise BadInput(f"{traffic} to a service: expected a port of TCP, UDP or SCTP")
    if not source.addresses:
        raise BadInput(f"{source.name} has no address to ask a service from")
    rows = service_rows(service, world.services.slices(path), node_of(world))
    own = own_addresses(service)
    if not own:
        return AskedService(service, None, _any_address(world, service, source), traffic)
    versions = {each.version for each in source.addresses}
    address = next((each for each in own if each.version in versions), own[0])
    frontend = _frontend(rows, source, address, traffic)
    assert frontend is not None, "every own address has a row for other ports"
    return AskedService(service, frontend, rows[frontend], traffic)


def _any_address(world: World, service: Service, source: Actor) -> ServiceRow:
    """What the name of a headless service stands for: its backends, as if it had an address of the source's family."""
    address = source.addresses[0]
    rows = service_rows(replace(service, addresses=(address,)), world.services.slices(service.path), node_of(world))
    found = [row for frontend, row in rows.items() if frontend.port]
    return max(found, key=lambda row: len(row.table), default=ServiceRow(service.path, service.path))


def _frontend(rows: dict[Frontend, ServiceRow], source: Actor, address: Address, traffic: Traffic) -> Frontend | None:
    scopes = (ServiceScope.OUTSIDE, ServiceScope.ANY) if source.outside else (ServiceScope.ANY,)
    wanted = [Frontend(address, traffic.port, traffic.protocol, scope) for scope in scopes]
    return next((each for each in (*wanted, Frontend(address, 0, 0)) if each in rows), None)


def _address(asked: Asked) -> Address | None:
    try:
        return ip_address(asked.address or asked.name)
    except ValueError:
        return None
