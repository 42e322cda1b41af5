"""The matrix of a lab: which pod reaches which other pod on which port, found out by probes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ringfence.errors import BadInput, NotFound, Unavailable
from ringfence.lab import probe
from ringfence.lab.attempt import Target
from ringfence.lab.echo import Service as Served
from ringfence.lab.laboratory import Say
from ringfence.lab.plan import SERVED, Plan, PlannedPod
from ringfence.lab.planned_service import PlannedService
from ringfence.lab.probe import Route
from ringfence.lab.wiring import Address
from ringfence.labels import DEFAULT_NAMESPACE
from ringfence.service.text import MARK
from ringfence.traffic import Protocol, Traffic, parse_traffic

PING = {4: Traffic(Protocol.ICMP, 8), 6: Traffic(Protocol.ICMPV6, 128)}
PING_FAMILY = {traffic: version for version, traffic in PING.items()}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of the matrix is wanted; None is all pods. They are `namespace/name`, a port is as `8080/TCP`.

    A destination may be `service/namespace/name`: what is tried is then the service's own address.
    """

    source: str | None = None
    destination: str | None = None
    port: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """One answer of the matrix."""

    source: str
    destination: str
    port: str
    through: bool

    def document(self) -> dict[str, object]:
        """As `-o json` prints it."""
        return {"from": self.source, "to": self.destination, "port": self.port, "got_through": self.through}


@dataclass(frozen=True, slots=True)
class _Question:
    source: PlannedPod
    destination: PlannedPod | PlannedService
    traffic: Traffic

    def routes(self) -> list[Route]:
        """One route for each address of the destination that this traffic can be sent to, IPv4 before IPv6."""
        version = PING_FAMILY.get(self.traffic)
        own = {address.version for address in self.source.wire.addresses}
        targets = [
            _target(self.traffic, address)
            for address in sorted(_addresses(self.destination), key=lambda address: address.version)
            if version in {None, address.version} and address.version in own
        ]
        return [Route(self.source.wire.namespace, each, _listeners(self.destination, each)) for each in targets]


def probe_all(plan: Plan, selection: Selection, say: Say) -> list[Probe]:
    """Ask every question of a selection, side by side.

    A pod with several addresses is tried at each; what counts is IPv4, as the oracle has it, and a difference is said.
    NotFound for a pod that is not in the plan, BadInput or Unavailable for a port that cannot be probed.
    """
    questions = list(_questions(plan, selection, say))
    routes = [question.routes() for question in questions]
    answers = iter(probe.run([route for several in routes for route in several]))
    through = [{route.target.address: next(answers) for route in several} for several in routes]
    return [_answer(question, several, say) for question, several in zip(questions, through, strict=True)]


def _answer(question: _Question, through: Mapping[Address, bool], say: Say) -> Probe:
    ways = list(through.values())
    found = Probe(question.source.name, question.destination.name, str(question.traffic), any(ways[:1]))
    if len(set(ways)) > 1:
        reached = ", ".join(str(address) for address, one in through.items() if one)
        say(f"{found.source} -> {found.destination} {found.port}: got through only to {reached}")
    return found


def _questions(plan: Plan, selection: Selection, say: Say) -> Iterator[_Question]:
    sources, destinations = _pods(plan, selection.source), _destinations(plan, selection.destination)
    wanted = None if selection.port is None else _probeable(selection.port)
    unknown = {port for each in destinations for port in _unserved(each)}
    if wanted is None and unknown:
        say(f"not probed, for this kernel's sockets have no such protocol: {', '.join(sorted(unknown))}")
    for source in sources:
        for destination in destinations:
            if source is not destination:
                for traffic in [wanted] if wanted else _traffic(destination):
                    yield _Question(source, destination, traffic)


def _destinations(plan: Plan, name: str | None) -> Sequence[PlannedPod | PlannedService]:
    if name is None or not name.startswith(MARK):
        return _pods(plan, name)
    path = name.removeprefix(MARK)
    full = path if "/" in path else f"{DEFAULT_NAMESPACE}/{path}"
    found = [service for service in plan.balanced if service.path == full]
    if not found:
        known = ", ".join(service.path for service in plan.balanced) or "none"
        raise NotFound(f"there is no service {full}; there are {known}")
    if not found[0].addresses:
        raise Unavailable(f"the service {full} is headless: it has no address of its own to be probed")
    return found


def _pods(plan: Plan, name: str | None) -> Sequence[PlannedPod]:
    if name is None:
        return plan.pods
    full = name if "/" in name else f"{DEFAULT_NAMESPACE}/{name}"
    found = [pod for pod in plan.pods if pod.name == full]
    if not found:
        raise NotFound(f"there is no pod {full}; there are {', '.join(pod.name for pod in plan.pods)}")
    return found


def _probeable(text: str) -> Traffic:
    try:
        traffic = parse_traffic(text)
    except ValueError as error:
        raise BadInput(str(error)) from error
    if traffic.protocol == Protocol.SCTP:
        raise Unavailable(
            f"{text} cannot be probed: this kernel has no SCTP sockets; `policy test` judges it all the same"
        )
    if traffic.protocol in {Protocol.ICMP, Protocol.ICMPV6} and traffic not in PING_FAMILY:
        raise BadInput(f"{text} cannot be probed: of ICMP, only echo-request is answered")
    return traffic


def _traffic(tried: PlannedPod | PlannedService) -> list[Traffic]:
    """What is tried: every port of a service; of a pod every port that it serves, and ping in each family it has."""
    if isinstance(tried, PlannedService):
        return [Traffic(Protocol[protocol], port) for protocol, port in tried.ports() if protocol in SERVED]
    ports = [Traffic(Protocol[protocol], port) for protocol, port in tried.services]
    return ports + [PING[version] for version in sorted({address.version for address in tried.wire.addresses})]


def _addresses(tried: PlannedPod | PlannedService) -> Sequence[Address]:
    return tried.addresses if isinstance(tried, PlannedService) else tried.wire.addresses


def _listeners(tried: PlannedPod | PlannedService, target: Target) -> tuple[Served, ...]:
    if isinstance(tried, PlannedService):
        return tried.listeners(target)
    return () if target.protocol == "ICMP" else (Served(tried.wire.namespace, target.protocol, target.port),)


def _unserved(tried: PlannedPod | PlannedService) -> Sequence[str]:
    if isinstance(tried, PlannedService):
        return [f"{port}/{protocol}" for protocol, port in tried.ports() if protocol not in SERVED]
    return tried.unserved


def _target(traffic: Traffic, address: Address) -> Target:
    if traffic in PING_FAMILY:
        return Target(address, "ICMP")
    return Target(address, Protocol(traffic.protocol).name, traffic.port)
