"""Manifests of what policies are about: namespaces, pods and nodes, as `kubectl get -o yaml` prints them.

Only the fields that say labels, addresses and ports are read; a pod without an address is a pod all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated

from pydantic import Field

from ringfence.identity.prefixes import Address
from ringfence.labels import DEFAULT_NAMESPACE, Label, Labels, parse_label, port_labels, workload_labels
from ringfence.policy.document import Document, Path
from ringfence.policy.rule import Origin
from ringfence.policy.schema import Ip, Name, Open


class _Metadata(Open):
    name: Name
    namespace: Name | None = None
    labels: dict[str, str] | None = None


class _Port(Open):
    container_port: Annotated[int, Field(ge=1, le=65535)]
    name: str | None = None
    protocol: str | None = None


class _Container(Open):
    ports: list[_Port] | None = None
    restart_policy: str | None = None


class _PodSpec(Open):
    host_network: bool | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None

    @property
    def running(self) -> list[_Container]:
        """The containers that run as long as the pod does: a sidecar is an init container that is restarted."""
        sidecars = [each for each in self.init_containers or [] if each.restart_policy == "Always"]
        return [*(self.containers or []), *sidecars]


class _PodIp(Open):
    ip: Ip


class _PodStatus(Open):
    pod_ip: Annotated[Ip, Field(alias="podIP")] = None
    pod_ips: Annotated[list[_PodIp] | None, Field(alias="podIPs")] = None
    phase: str | None = None


class NamespaceManifest(Open):
    """A Namespace."""

    metadata: _Metadata


class PodManifest(Open):
    """A Pod."""

    metadata: _Metadata
    spec: _PodSpec | None = None
    status: _PodStatus | None = None


class _NodeAddress(Open):
    type: str
    address: str


class _NodeStatus(Open):
    addresses: list[_NodeAddress] | None = None


class NodeManifest(Open):
    """A Node."""

    metadata: _Metadata
    status: _NodeStatus | None = None


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a pod says it listens on."""

    port: int
    protocol: str = "TCP"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace with its labels."""

    name: str
    labels: Mapping[str, str]
    origin: Origin = field(default=Origin(), compare=False)


def container_ports(labels: Labels) -> Iterator[ContainerPort]:
    """The named ports that a workload's labels carry."""
    for label in labels.ports:
        name, _, protocol = label.key.rpartition("/")
        yield from (ContainerPort(int(number), protocol, name) for number in label.value.split(","))


@dataclass(frozen=True, slots=True)
class Pod:
    """A workload. `labels` are its own; `host_network` shares the node's address, and so its identity."""

    namespace: str
    name: str
    labels: tuple[Label, ...]
    addresses: tuple[Address, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    host_network: bool = False
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def path(self) -> str:
        """namespace/name, as people write it."""
        return f"{self.namespace}/{self.name}"

    def all_labels(self, namespaces: Mapping[str, Namespace]) -> Labels:
        """Its own labels, its namespace and its namespace's labels."""
        namespace = namespaces.get(self.namespace)
        own = [*self.labels, *port_labels((port.name, port.protocol, port.port) for port in self.ports if port.name)]
        return workload_labels(own, self.namespace, namespace.labels if namespace else None)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine with its addresses and labels."""

    name: str
    addresses: tuple[Address, ...]
    labels: tuple[Label, ...] = ()
    origin: Origin = field(default=Origin(), compare=False)


def read_namespace(document: Document, written: NamespaceManifest, base: Path) -> Namespace:
    """The namespace that a checked document describes."""
    return Namespace(written.metadata.name, written.metadata.labels or {}, _origin(document, base))


def read_pod(document: Document, written: PodManifest, base: Path) -> Pod:
    """The pod that a checked document describes."""
    spec = written.spec or _PodSpec()
    ports = [port for container in spec.running for port in container.ports or []]
    return Pod(
        namespace=written.metadata.namespace or DEFAULT_NAMESPACE,
        name=written.metadata.name,
        labels=tuple(_labels(written.metadata.labels or {})),
        addresses=tuple(_addresses(written.status or _PodStatus())),
        ports=tuple(ContainerPort(port.container_port, port.protocol or "TCP", port.name or "") for port in ports),
        host_network=bool(spec.host_network),
        origin=_origin(document, base),
    )


def read_node(document: Document, written: NodeManifest, base: Path) -> Node:
    """The node that a checked document describes; names among its addresses are left out."""
    listed = (written.status.addresses if written.status else None) or []
    found = [_node_address(each.address) for each in listed if each.type in {"InternalIP", "ExternalIP"}]
    labels = tuple(_labels(written.metadata.labels or {}))
    return Node(written.metadata.name, tuple(filter(None, found)), labels, _origin(document, base))


def _node_address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _labels(written: Mapping[str, str]) -> list[Label]:
    """A key may say its source itself: that is how `reserved:init` is written down."""
    return [parse_label(f"{key}={value}") for key, value in written.items()]


def _addresses(status: _PodStatus) -> list[Address]:
    """A pod that has come to its end still names its address, which may be another's by now."""
    if status.phase in {"Succeeded", "Failed"}:
        return []
    listed = [each.ip for each in status.pod_ips or []]
    first = [] if status.pod_ip is None or status.pod_ip in listed else [status.pod_ip]
    return first + listed


def _origin(document: Document, base: Path) -> Origin:
    return Origin(document.file, document.place.at(base).line, document.number)
