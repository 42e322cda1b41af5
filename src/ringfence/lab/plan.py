"""A plan: what a lab will consist of, worked out from the manifests alone.

The same manifests give the same names and addresses, so that `probe` finds what `up` has made. Namespaces are called
`rf-<instance>.<...>`: the dot, which no instance's name has, keeps apart labs whose names begin alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address

from ringfence.errors import BadInput
from ringfence.lab.planned_service import PlannedService, planned_services
from ringfence.lab.wiring import Address, Wire
from ringfence.policy.manifest import Namespace, Pod
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.service.frontends import Member

NODE_ADDRESSES: tuple[Address, ...] = (ip_address("169.254.1.1"), ip_address("fd52:4600::1"))
# Where pods without status.podIP get one address each.
POD_NETWORKS = (IPv4Network("10.244.0.0/16"), IPv6Network("fd52:4600:0:1::/64"))
SERVED = ("TCP", "UDP")
INSTANCE = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class PlannedPod:
    """A pod of a lab: `namespace/name`, labels, its wire, and the (protocol, port) pairs that it serves.

    `unserved` are declared ports, as `9/SCTP`, of protocols that this kernel's sockets do not have; `ports` are those
    with names, as `http=8080/TCP`.
    """

    name: str
    namespace: str
    labels: tuple[str, ...]
    wire: Wire
    services: tuple[tuple[str, int], ...]
    unserved: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A lab: its instance's name, the node, the pods, and the services that lead to them."""

    instance: str
    pods: tuple[PlannedPod, ...]
    node_addresses: tuple[Address, ...] = NODE_ADDRESSES
    balanced: tuple[PlannedService, ...] = ()

    @property
    def node(self) -> str:
        """Name of the network namespace that plays the node."""
        return f"{prefix(self.instance)}node"

    def services(self) -> list[tuple[str, str, int]]:
        """Everything that is served: network namespace, protocol, port."""
        return [(pod.wire.namespace, protocol, port) for pod in self.pods for protocol, port in pod.services]


def prefix(instance: str) -> str:
    """What the names of all network namespaces of a lab begin with. BadInput for a name that cannot be one."""
    if not INSTANCE.fullmatch(instance):
        raise BadInput(f"{instance!r} is no name for a lab: up to 32 of a-z, 0-9 and - between them")
    return f"rf-{instance}."


def plan(instance: str, sources: Iterable[tuple[str, str]]) -> Plan:
    """Lay out a lab for the pods of some manifests (name, text). BadInput where these are not in order."""
    start = prefix(instance)
    parsed = parse_documents(Source(name, text) for name, text in sources)
    pods = [pod for pod in parsed.pods if not pod.host_network]
    if not pods:
        raise BadInput("there is no Pod in these manifests, so nothing to make a lab of")
    free = _Free(pods)
    namespaces = {namespace.name: namespace for namespace in parsed.namespaces}
    pods = [free.give(pod) for pod in pods]
    planned = tuple(_planned(start, number, pod, namespaces) for number, pod in enumerate(pods, 1))
    homes = {address: pod.wire.namespace for pod in planned for address in pod.wire.addresses}
    members = (Member(pod.all_labels(namespaces), pod.addresses) for pod in pods)
    return Plan(instance, planned, _node_addresses(parsed), tuple(planned_services(parsed, homes, members)))


class _Free:
    """Addresses that no manifest has taken."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        self._taken = {address for pod in pods for address in pod.addresses}
        self._hosts: list[Iterator[Address]] = [network.hosts() for network in POD_NETWORKS]

    def give(self, pod: Pod) -> Pod:
        """A pod with its own addresses, or with one of each family where it has none."""
        if pod.addresses:
            return pod
        return replace(pod, addresses=tuple(self._next(hosts) for hosts in self._hosts))

    def _next(self, hosts: Iterator[Address]) -> Address:
        return next(address for address in hosts if address not in self._taken)


def _planned(start: str, number: int, pod: Pod, namespaces: Mapping[str, Namespace]) -> PlannedPod:
    ports = list(dict.fromkeys((port.protocol, port.port) for port in pod.ports))
    return PlannedPod(
        name=pod.path,
        namespace=pod.namespace,
        labels=tuple(pod.all_labels(namespaces).texts()),
        # A pod may be called `node`: with its namespace before it the name differs from the node's all the same.
        wire=Wire(f"{start}{pod.namespace}.{pod.name}", number, tuple(pod.addresses)),
        services=tuple(pair for pair in ports if pair[0] in SERVED),
        unserved=tuple(f"{port}/{protocol}" for protocol, port in ports if protocol not in SERVED),
        ports=tuple(f"{port.name}={port.port}/{port.protocol}" for port in pod.ports if port.name),
    )


def _node_addresses(parsed: Parsed) -> tuple[Address, ...]:
    """The addresses of the one Node among the manifests, else link-local ones that no pod has."""
    nodes = [node.addresses for node in parsed.nodes if node.addresses]
    return nodes[0] if len(nodes) == 1 else NODE_ADDRESSES
