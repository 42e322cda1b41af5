"""AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy: their schema.

Fields, bounds and faults are those of the API's own validation. What Ringfence does not enforce is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from ringfence.labels import NAMESPACE_LABELS
from ringfence.policy.cilium import read_port_name
from ringfence.policy.compile import IN_SOME_NAMESPACE
from ringfence.policy.kubernetes import requirements
from ringfence.policy.rule import NamedPort, Ports
from ringfence.policy.schema import Cidr, Closed, LabelSelector, Metadata, flaw, not_enforced, refused
from ringfence.selector import Selector
from ringfence.traffic import LAST_PORT, Protocol

_PRIORITY: Final = Field(ge=0, le=1000)

PortNumber = Annotated[int, Field(ge=1, le=LAST_PORT)]
ProtocolName = Literal["TCP", "UDP", "SCTP"]
RuleName = Annotated[str, Field(max_length=100)]
PortName = Annotated[str, BeforeValidator(read_port_name)]


def _read_nodes(value: object) -> object:
    if value is not None and value != {}:
        raise not_enforced("nodes by label", "{}, all nodes")
    return value


class OneOf(Closed):
    """A mapping of which exactly one field is given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOf:
        names = [str(field.alias) for field in type(self).model_fields.values()]
        given = [str(type(self).model_fields[name].alias) for name in self.model_fields_set]
        if len(given) != 1:
            raise flaw(" together with ".join(sorted(given)) or "an empty mapping", f"one of {', '.join(names)}")
        return self


class NamespacedPods(Closed):
    """Pods of namespaces."""

    namespace_selector: LabelSelector = LabelSelector()
    pod_selector: LabelSelector


class Pods(OneOf):
    """All pods of namespaces, or some. Pods on the host's network are none of them."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPods | None = None

    @property
    def selector(self) -> Selector | None:
        """The pods meant; None if it does not mean pods."""
        by_namespace = self.pods.namespace_selector if self.pods else self.namespaces
        if by_namespace is None:
            return None
        own = requirements(self.pods.pod_selector) if self.pods else []
        return Selector.of([*own, *requirements(by_namespace, NAMESPACE_LABELS), IN_SOME_NAMESPACE])


class Destination(Pods):
    """A peer of an egress rule."""

    nodes: Annotated[LabelSelector | None, BeforeValidator(_read_nodes)] = None
    networks: Annotated[list[Cidr], Field(min_length=1, max_length=25)] | None = None
    domain_names: Annotated[Any, refused("domain names as peers")] = None


class PortOfProtocol(Closed):
    """A port by its number."""

    protocol: ProtocolName = "TCP"
    port: PortNumber


class PortSpan(Closed):
    """Ports from one to another."""

    start: PortNumber
    end: PortNumber

    @model_validator(mode="after")
    def _ends_behind(self) -> PortSpan:
        if self.start >= self.end:
            raise flaw(f"a range of ports that ends at {self.end}", f"an end behind {self.start}", ["end"])
        return self


class PortRange(PortSpan):
    """Ports of a protocol, from one to another."""

    protocol: ProtocolName = "TCP"


class AdminPort(OneOf):
    """One of `ports`, in v1alpha1."""

    port_number: PortOfProtocol | None = None
    named_port: PortName | None = None
    port_range: PortRange | None = None

    @property
    def meant(self) -> Ports | NamedPort:
        if self.port_number:
            return Ports(Protocol[self.port_number.protocol], self.port_number.port, self.port_number.port)
        if self.port_range:
            return Ports(Protocol[self.port_range.protocol], self.port_range.start, self.port_range.end)
        return NamedPort(str(self.named_port))


class DestinationPort(OneOf):
    """A port or ports."""

    number: PortNumber | None = None
    range: PortSpan | None = None


class OfProtocol(Closed):
    """What is asked of a protocol."""

    destination_port: DestinationPort


class ProtocolMatch(OneOf):
    """One of `protocols`, in v1alpha2."""

    tcp: OfProtocol | None = None
    udp: OfProtocol | None = None
    sctp: OfProtocol | None = None
    destination_named_port: PortName | None = None

    @property
    def meant(self) -> Ports | NamedPort:
        for protocol, asked in ((Protocol.TCP, self.tcp), (Protocol.UDP, self.udp), (Protocol.SCTP, self.sctp)):
            if asked:
                port = asked.destination_port
                span = (port.range.start, port.range.end) if port.range else (port.number or 0, port.number or 0)
                return Ports(protocol, *span)
        return NamedPort(str(self.destination_named_port))


Meant = Sequence[AdminPort | ProtocolMatch]


class AdminRule(Closed):
    """What the rules of all kinds and directions have in common."""

    name: RuleName | None = None

    action: str
    peers: Sequence[Pods]

    def traffic_written(self) -> Meant:
        raise NotImplementedError

    @model_validator(mode="after")
    def _names_belong_to_pods(self) -> AdminRule:
        addressed = [each for each in self.peers if isinstance(each, Destination) and each.selector is None]
        if addressed and any(isinstance(each.meant, NamedPort) for each in self.traffic_written()):
            raise flaw("a port by name for nodes or networks, which have no names of ports", "a port number", ["to"])
        return self


class V1Alpha1Rule(AdminRule):
    """A rule of v1alpha1."""

    ports: Annotated[list[AdminPort], Field(max_length=100)] | None = None

    def traffic_written(self) -> Meant:
        return self.ports or []


class V1Alpha1Ingress(V1Alpha1Rule):
    """One of `ingress`, in v1alpha1."""

    peers: Annotated[list[Pods], Field(alias="from", min_length=1, max_length=100)]


class V1Alpha1Egress(V1Alpha1Rule):
    """One of `egress`, in v1alpha1."""

    peers: Annotated[list[Destination], Field(alias="to", min_length=1, max_length=100)]


class AdminIngress(V1Alpha1Ingress):
    """One of an AdminNetworkPolicy's `ingress`."""

    action: Literal["Allow", "Deny", "Pass"]


class AdminEgress(V1Alpha1Egress):
    """One of an AdminNetworkPolicy's `egress`."""

    action: Literal["Allow", "Deny", "Pass"]


class BaselineIngress(V1Alpha1Ingress):
    """One of a BaselineAdminNetworkPolicy's `ingress`."""

    action: Literal["Allow", "Deny"]


class BaselineEgress(V1Alpha1Egress):
    """One of a BaselineAdminNetworkPolicy's `egress`."""

    action: Literal["Allow", "Deny"]


class ClusterRule(AdminRule):
    """A rule of a ClusterNetworkPolicy."""

    action: Literal["Accept", "Deny", "Pass"]
    protocols: Annotated[list[ProtocolMatch], Field(min_length=1, max_length=25)] | None = None

    def traffic_written(self) -> Meant:
        return self.protocols or []


class ClusterIngress(ClusterRule):
    """One of a ClusterNetworkPolicy's `ingress`."""

    peers: Annotated[list[Pods], Field(alias="from", min_length=1, max_length=25)]


class ClusterEgress(ClusterRule):
    """One of a ClusterNetworkPolicy's `egress`."""

    peers: Annotated[list[Destination], Field(alias="to", min_length=1, max_length=25)]


class AdminSpec(Closed):
    """What an AdminNetworkPolicy says."""

    priority: Annotated[int, _PRIORITY]
    subject: Pods
    ingress: Annotated[list[AdminIngress], Field(max_length=100)] | None = None
    egress: Annotated[list[AdminEgress], Field(max_length=100)] | None = None


class BaselineSpec(Closed):
    """What the BaselineAdminNetworkPolicy says."""

    subject: Pods
    ingress: Annotated[list[BaselineIngress], Field(max_length=100)] | None = None
    egress: Annotated[list[BaselineEgress], Field(max_length=100)] | None = None


class ClusterSpec(Closed):
    """What a ClusterNetworkPolicy says."""

    tier: Literal["Admin", "Baseline"]
    priority: Annotated[int, _PRIORITY]
    subject: Pods
    ingress: Annotated[list[ClusterIngress], Field(max_length=25)] | None = None
    egress: Annotated[list[ClusterEgress], Field(max_length=25)] | None = None


class _Document(Closed):
    api_version: str
    kind: str
    metadata: Metadata
    status: Any = None


class AdminNetworkPolicy(_Document):
    """A whole document."""

    spec: AdminSpec


class BaselineAdminNetworkPolicy(_Document):
    """A whole document; there is one of its kind."""

    spec: BaselineSpec

    @model_validator(mode="after")
    def _is_the_only_one(self) -> BaselineAdminNetworkPolicy:
        if self.metadata.name != "default":
            raise flaw(f"{self.metadata.name!r}", "default, the only name of this kind", ["metadata", "name"])
        return self


class ClusterNetworkPolicy(_Document):
    """A whole document."""

    spec: ClusterSpec


AnyKind = AdminNetworkPolicy | BaselineAdminNetworkPolicy | ClusterNetworkPolicy
