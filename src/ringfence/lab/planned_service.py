"""A service of a lab: the addresses that it has inside, and who should answer for each.

The rows are worked out from the manifests by the code that the agent uses, so that what a probe of a service starts
listeners for is what the datapath may choose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ringfence.lab.attempt import Target
from ringfence.lab.echo import Service as Served
from ringfence.lab.wiring import Address
from ringfence.policy.parse import Parsed
from ringfence.service.frontends import Member, Node, service_rows
from ringfence.service.row import Frontend
from ringfence.service.text import MARK
from ringfence.traffic import Protocol


@dataclass(frozen=True, slots=True)
class PlannedService:
    """`namespace/name`, its virtual addresses, and for each (address, protocol, port) the pods' sockets behind it."""

    path: str
    addresses: tuple[Address, ...]
    behind: tuple[tuple[Target, tuple[Served, ...]], ...]

    @property
    def name(self) -> str:
        """As it is told apart from a pod."""
        return f"{MARK}{self.path}"

    def ports(self) -> list[tuple[str, int]]:
        """All (protocol, port) that the service has."""
        return list(dict.fromkeys((target.protocol, target.port) for target, _ in self.behind))

    def listeners(self, target: Target) -> tuple[Served, ...]:
        """Who should answer on a target; nobody on a port that the service does not have."""
        return dict(self.behind).get(target, ())


def planned_services(parsed: Parsed, namespaces: dict[Address, str], members: Iterable[Member]) -> list[PlannedService]:
    """The services of some manifests. `namespaces`: the network namespace that has an address."""
    node = Node(members=tuple(members), local=frozenset(namespaces))
    found = []
    for service in parsed.services:
        slices = [each for each in parsed.slices if (each.namespace, each.service) == (service.namespace, service.name)]
        behind = []
        for frontend, row in service_rows(service, slices, node).items():
            if row.inside:
                chosen = (row.backends[place][0] for place in dict.fromkeys(row.table))
                served = _served(frontend, ((each.address, each.port) for each in chosen), namespaces)
                target = Target(frontend.address, Protocol(frontend.protocol).name, frontend.port)
                behind.append((target, tuple(served)))
        found.append(PlannedService(service.path, service.addresses, tuple(behind)))
    return found


def _served(
    frontend: Frontend, backends: Iterable[tuple[Address, int]], namespaces: dict[Address, str]
) -> Iterator[Served]:
    for address, port in backends:
        if address in namespaces:
            yield Served(namespaces[address], Protocol(frontend.protocol).name, port)
