"""Why a service leads nowhere: what is nearly as it would have to be, the most telling first, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ringfence.abi import Reason
from ringfence.identity.prefixes import Address
from ringfence.policy.check_workloads import missed
from ringfence.policy.findings import nearest
from ringfence.policy.rule import Origin
from ringfence.policy.service_set import selected_workloads
from ringfence.policy.services import EndpointSlice, Service, ServicePort
from ringfence.policy.world import Actor, World
from ringfence.service.asked import AskedService
from ringfence.traffic import format_protocol


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that is wrong, and where it is written."""

    text: str
    origin: Origin


def lacks(world: World, asked: AskedService, source: Actor, reason: Reason) -> list[Lack]:
    """What would have to be otherwise for the service to lead somewhere."""
    service = asked.service
    if reason is Reason.UNKNOWN_SERVICE_PORT:
        return [Lack(f"port {asked.traffic}, the service has {_ports(service)}", service.origin)]
    if reason is Reason.CLUSTER_ADDRESS:
        text = f"{asked.told} is a clusterIP, which is there for workloads; {source.name} comes from outside"
        return [Lack(text, service.origin)]
    if reason is Reason.SOURCE_RANGE:
        ranges = ", ".join(map(str, asked.row.source_ranges))
        return [Lack(f"{source.name} is in none of loadBalancerSourceRanges {ranges}", service.origin)]
    slices = world.services.slices(service.path)
    return list(_of_slices(world, asked, slices) if slices else _of_workloads(world, asked))


def _ports(service: Service) -> str:
    return ", ".join(f"{port.port}/{port.protocol}{f' ({port.name})' if port.name else ''}" for port in service.ports)


def _asked_ports(asked: AskedService) -> list[ServicePort]:
    """The service port that the frontend is of; of a headless one any may be."""
    service, frontend = asked.service, asked.frontend
    if frontend is None:
        return list(service.ports)
    numbers = [port for port in service.ports if frontend.port in (port.port, port.node_port)]
    return [port for port in numbers if port.protocol == format_protocol(asked.traffic.protocol)] or numbers


def _of_slices(world: World, asked: AskedService, slices: list[EndpointSlice]) -> Iterator[Lack]:
    owners = world.owners
    for found in slices:
        for endpoint in found.endpoints:
            for address in endpoint.addresses:
                state = "is terminating" if endpoint.terminating else "" if endpoint.ready else "is not ready"
                if state:
                    yield Lack(f"{_named(address, owners)} {state}, by EndpointSlice {found.path}", found.origin)
    for found in slices:
        for port in _asked_ports(asked):
            names = [name for name, protocol, _ in found.ports if protocol == port.protocol]
            if port.name not in names:
                has = " and ".join(repr(name) for name in names) or "none"
                text = f"EndpointSlice {found.path} has no port called {port.name!r}, as the service has; it has {has}"
                yield Lack(text, found.origin)
    yield from _of_family(asked, [address for each in slices for one in each.endpoints for address in one.addresses])


def _of_workloads(world: World, asked: AskedService) -> Iterator[Lack]:
    service = asked.service
    if not service.selector:
        yield Lack(f"service {service.path} has neither a selector nor an EndpointSlice", service.origin)
        return
    selector = selected_workloads(service)
    workloads = [actor for actor in world.actors.values() if actor.local and actor.reserved is None]
    chosen = [actor for actor in workloads if selector.matches(actor.labels)]
    if not chosen:
        told = missed(selector, workloads).replace("any:", "")  # in a Service labels have no source
        yield Lack(f"the service's selector selects no workload: {told}", service.origin)
    for actor in chosen:
        names = [port.name for port in actor.ports]
        for port in _asked_ports(asked):
            if isinstance(port.target, str) and port.target not in names:
                like = nearest(port.target, names) or names
                has = f"it has {', '.join(like)}" if like else "it names no ports"
                yield Lack(f"targetPort {port.target} is no port of {actor.name}: {has}", service.origin)
    yield from _of_family(asked, [address for actor in chosen for address in actor.addresses])


def _of_family(asked: AskedService, addresses: list[Address]) -> Iterator[Lack]:
    version = asked.frontend.address.version if asked.frontend else None
    if addresses and version and version not in {each.version for each in addresses}:
        text = f"{asked.told} is IPv{version}, and no backend of {asked.service.path} has such an address"
        yield Lack(text, asked.service.origin)


def _named(address: Address, owners: Mapping[Address, str]) -> str:
    return f"{address} ({owners[address]})" if address in owners else str(address)
