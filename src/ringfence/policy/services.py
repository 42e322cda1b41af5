"""Manifests of services: Service and EndpointSlice, as `kubectl get -o yaml` prints them.

Only what says where connections go is read. What Ringfence cannot do is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from ringfence.identity.prefixes import Address, Network
from ringfence.labels import DEFAULT_NAMESPACE, Label, Labels
from ringfence.policy.document import Document, Path
from ringfence.policy.rule import Origin
from ringfence.policy.schema import Cidr, Ip, Name, Open, flaw, read_address

#: The label by which a slice says whose it is (Kubernetes, discovery.k8s.io/v1).
SERVICE_LABEL: Final = "kubernetes.io/service-name"
#: How backends are picked: Cilium's annotation, and its values.
ALGORITHM: Final = "service.cilium.io/lb-algorithm"
_AFFINITY_SECONDS: Final = 10800  # Kubernetes' default
_CLIENT_IP: Final = "ClientIP"
Protocol = Literal["TCP", "UDP", "SCTP"]
Port = Annotated[int, Field(ge=1, le=65535)]
Locality = Literal["Cluster", "Local"]
_NO_LABELS: Final = Labels()


def _read_cluster_ip(value: object) -> Address | None:
    """An address; `None` of a headless service, and nothing before it was given one."""
    return None if value in ("None", "", None) else read_address(value)


ClusterIp = Annotated[Any, BeforeValidator(_read_cluster_ip)]


class _Metadata(Open):
    name: Name
    namespace: Name | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _ServicePort(Open):
    name: str | None = None
    protocol: Protocol = "TCP"
    port: Port
    target_port: Port | str | None = None
    node_port: Port | None = None

    @model_validator(mode="after")
    def _check(self) -> _ServicePort:
        if self.protocol == "SCTP" and self.target_port not in (None, self.port):
            raise flaw(
                f"targetPort {self.target_port} of SCTP port {self.port}",
                "the port itself: ports of SCTP are under its checksum and are not translated",
                ("targetPort",),
            )
        return self


class _ClientIp(Open):
    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = _AFFINITY_SECONDS


class _AffinityConfig(Open):
    client_ip: Annotated[_ClientIp | None, Field(alias="clientIP")] = None


class _ServiceSpec(Open):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    cluster_ip: Annotated[ClusterIp, Field(alias="clusterIP")] = None
    cluster_ips: Annotated[list[ClusterIp] | None, Field(alias="clusterIPs")] = None
    external_ips: Annotated[list[Ip] | None, Field(alias="externalIPs")] = None
    load_balancer_ip: Annotated[Ip, Field(alias="loadBalancerIP")] = None
    load_balancer_source_ranges: list[Cidr] | None = None
    selector: dict[str, str] | None = None
    ports: list[_ServicePort] | None = None
    session_affinity: Literal["None", "ClientIP"] = "None"
    session_affinity_config: _AffinityConfig | None = None
    internal_traffic_policy: Locality = "Cluster"
    external_traffic_policy: Locality = "Cluster"
    publish_not_ready_addresses: bool = False

    @model_validator(mode="after")
    def _check(self) -> _ServiceSpec:
        keys = [(port.port, port.protocol) for port in self.ports or []]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise flaw(f"port {key[0]}/{key[1]} a second time", "every port once", ("ports", index, "port"))
        return self


class _Ingress(Open):
    ip: Ip = None


class _LoadBalancer(Open):
    ingress: list[_Ingress] | None = None


class _ServiceStatus(Open):
    load_balancer: _LoadBalancer | None = None


class ServiceManifest(Open):
    """A Service."""

    metadata: _Metadata
    spec: _ServiceSpec
    status: _ServiceStatus | None = None

    @model_validator(mode="after")
    def _check(self) -> ServiceManifest:
        algorithm = (self.metadata.annotations or {}).get(ALGORITHM, "random")
        if algorithm not in ("random", "maglev"):
            raise flaw(f"algorithm {algorithm!r}", "random or maglev", ("metadata", "annotations", ALGORITHM))
        return self


class _Conditions(Open):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class _SliceEndpoint(Open):
    addresses: list[Ip]
    conditions: _Conditions | None = None
    node_name: str | None = None


class _SlicePort(Open):
    name: str | None = None
    protocol: Protocol = "TCP"
    port: Port | None = None


class SliceManifest(Open):
    """An EndpointSlice."""

    metadata: _Metadata
    address_type: Literal["IPv4", "IPv6"]
    endpoints: list[_SliceEndpoint] | None = None
    ports: list[_SlicePort] | None = None

    @model_validator(mode="after")
    def _check(self) -> SliceManifest:
        if not (self.metadata.labels or {}).get(SERVICE_LABEL):
            raise flaw("a slice of no service", f"the label {SERVICE_LABEL}", ("metadata", "labels"))
        version = int(self.address_type[-1])
        for index, endpoint in enumerate(self.endpoints or []):
            for at, address in enumerate(endpoint.addresses):
                if address.version != version:
                    path = ("endpoints", index, "addresses", at)
                    raise flaw(str(address), f"an address of addressType {self.address_type}", path)
        return self


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a service. `target` is the backend's, by number or by the name that the backend has for it."""

    port: int
    target: int | str
    protocol: str = "TCP"
    name: str = ""
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """Addresses and ports that lead to backends: those of its slices, or, where it has none, the workloads selected.

    `affinity`: seconds, 0 for none. `external` are externalIPs, `balancer` the addresses of a load balancer.
    """

    namespace: str
    name: str
    addresses: tuple[Address, ...]
    ports: tuple[ServicePort, ...]
    selector: tuple[tuple[str, str], ...] = ()
    external: tuple[Address, ...] = ()
    balancer: tuple[Address, ...] = ()
    source_ranges: tuple[Network, ...] = ()
    affinity: int = 0
    maglev: bool = False
    inside_local: bool = False
    outside_local: bool = False
    not_ready_too: bool = False
    labels: Labels = _NO_LABELS
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def path(self) -> str:
        """namespace/name, as people write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def uid(self) -> str:
        return f"Service/{self.path}"


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """A backend of a slice, by its conditions."""

    addresses: tuple[Address, ...]
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """Some backends of a service. `ports` are (name, protocol, number)."""

    namespace: str
    name: str
    service: str
    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[tuple[str, str, int], ...]
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def path(self) -> str:
        """namespace/name, as people write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def uid(self) -> str:
        return f"EndpointSlice/{self.path}"


def read_service(document: Document, written: ServiceManifest, base: Path) -> Service:
    """The service that a checked document describes."""
    spec, metadata = written.spec, written.metadata
    affine = spec.session_affinity == _CLIENT_IP
    client = (spec.session_affinity_config or _AffinityConfig()).client_ip or _ClientIp()
    return Service(
        namespace=metadata.namespace or DEFAULT_NAMESPACE,
        name=metadata.name,
        addresses=tuple(_cluster_addresses(spec)),
        ports=tuple(_ports(spec)),
        selector=tuple(sorted((spec.selector or {}).items())),
        external=tuple(spec.external_ips or ()),
        balancer=tuple(_balancer_addresses(spec, written.status)),
        source_ranges=tuple(spec.load_balancer_source_ranges or ()),
        affinity=client.timeout_seconds if affine else 0,
        maglev=(metadata.annotations or {}).get(ALGORITHM) == "maglev",
        inside_local=spec.internal_traffic_policy == "Local",
        outside_local=spec.external_traffic_policy == "Local",
        not_ready_too=spec.publish_not_ready_addresses,
        labels=Labels(Label("k8s", key, value) for key, value in (metadata.labels or {}).items()),
        origin=_origin(document, base),
    )


def read_slice(document: Document, written: SliceManifest, base: Path) -> EndpointSlice:
    """The slice that a checked document describes. What is not said of a backend holds: it is ready."""
    labels: Mapping[str, str] = written.metadata.labels or {}
    return EndpointSlice(
        namespace=written.metadata.namespace or DEFAULT_NAMESPACE,
        name=written.metadata.name,
        service=labels[SERVICE_LABEL],
        endpoints=tuple(_endpoint(each) for each in written.endpoints or ()),
        ports=tuple((port.name or "", port.protocol, port.port) for port in written.ports or () if port.port),
        origin=_origin(document, base),
    )


def _endpoint(written: _SliceEndpoint) -> SliceEndpoint:
    said = written.conditions or _Conditions()
    ready = said.ready is not False
    return SliceEndpoint(
        addresses=tuple(written.addresses),
        ready=ready,
        serving=ready if said.serving is None else said.serving,
        terminating=bool(said.terminating),
        node=written.node_name or "",
    )


def _cluster_addresses(spec: _ServiceSpec) -> list[Address]:
    """None of a headless service, whose name stands for its backends' addresses."""
    listed = spec.cluster_ips or [spec.cluster_ip]
    return [each for each in listed if each is not None]


def _balancer_addresses(spec: _ServiceSpec, status: _ServiceStatus | None) -> list[Address]:
    if spec.type != "LoadBalancer":
        return []
    given = status.load_balancer.ingress if status and status.load_balancer else None
    found = [each.ip for each in given or [] if each.ip is not None]
    return found or ([spec.load_balancer_ip] if spec.load_balancer_ip is not None else [])


def _ports(spec: _ServiceSpec) -> list[ServicePort]:
    reached = spec.type in ("NodePort", "LoadBalancer")
    return [
        ServicePort(
            port=each.port,
            target=_target(each),
            protocol=each.protocol,
            name=each.name or "",
            node_port=each.node_port or 0 if reached else 0,
        )
        for each in spec.ports or ()
    ]


def _target(port: _ServicePort) -> int | str:
    """A number written as text is a number (Kubernetes' IntOrString)."""
    written = port.port if port.target_port is None else port.target_port
    return int(written) if isinstance(written, str) and written.isdigit() else written


def _origin(document: Document, base: Path) -> Origin:
    return Origin(document.file, document.place.at(base).line, document.number)
