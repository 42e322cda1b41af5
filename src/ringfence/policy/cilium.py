"""CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy: their schema.

Fields and faults are those of Cilium's own rules. What Ringfence does not enforce is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from ringfence.policy.document import Path
from ringfence.policy.schema import (
    Cidr,
    Closed,
    Excepts,
    LabelSelector,
    Metadata,
    Name,
    flaw,
    not_enforced,
    refused,
)
from ringfence.traffic import ICMP_TYPES, ICMPV6_TYPES, LAST_ICMP_TYPE, LAST_PORT, PORT_NAME

EntityName = Literal[
    "all", "world", "world-ipv4", "world-ipv6", "cluster", "host", "init", "ingress", "unmanaged", "remote-node",
    "health", "none", "kube-apiserver",
]  # fmt: skip
#: Cilium's limit on the text that a rule adds to its log lines.
_LOG_LENGTH: Final = 32
_CLUSTERWIDE: Final = "CiliumClusterwideNetworkPolicy"


def read_port_name(value: object) -> str:
    """A name of a port (IANA's rule for them)."""
    if isinstance(value, str) and PORT_NAME.match(value):
        return value
    raise flaw(f"port name {value!r}" if isinstance(value, str) else "no port name", "up to 15 letters, digits and '-'")


def read_port(value: object) -> int | str:
    """A port by number or by name."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, str) and PORT_NAME.match(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_PORT:
        return value
    expected = f"a port, 0 to {LAST_PORT}, or its name"
    raise flaw(f"port {value!r}" if isinstance(value, (int, str)) else "no port", expected)


def _read_protocol(value: object) -> object:
    if value in {"VRRP", "IGMP"}:
        raise not_enforced(f"the protocol {value}", "TCP, UDP, SCTP or ANY")
    return value.upper() if isinstance(value, str) else value


def _read_mode(value: object) -> object:
    if value in {"required", "test-always-fail"}:
        raise not_enforced(f"mutual authentication ({value})", "disabled")
    return value


class PortProtocol(Closed):
    """A port, by number or by the name that its destination gives it, or range of ports. Port 0 stands for all."""

    port: Annotated[int | str, BeforeValidator(read_port)]
    end_port: int | None = None
    protocol: Annotated[Literal["", "ANY", "TCP", "UDP", "SCTP"] | None, BeforeValidator(_read_protocol)] = None

    @field_validator("end_port")
    @classmethod
    def _ends_behind(cls, end: int | None, info: ValidationInfo) -> int | None:
        first = info.data.get("port")
        if not end or first is None:
            return None
        if isinstance(first, str):
            raise flaw(f"endPort {end} with a port by name", "a range from one number to another")
        if not first:
            raise flaw(f"endPort {end} with port 0, which stands for all", "a range that starts at 1 or later")
        if not first <= end <= LAST_PORT:
            raise flaw(f"endPort {end}", f"a port from {first}, where the range starts, to {LAST_PORT}")
        return end


class PortDenyRule(Closed):
    """`toPorts` of a deny rule."""

    ports: Annotated[list[PortProtocol], Field(max_length=40)]

    @field_validator("ports")
    @classmethod
    def _not_empty(cls, ports: list[PortProtocol]) -> list[PortProtocol]:
        if not ports:
            raise flaw("an empty list of ports", "at least one port")
        return ports


class PortRule(PortDenyRule):
    """`toPorts` of an allow rule."""

    rules: Annotated[Any, refused("layer 7 rules")] = None
    terminating_tls: Annotated[Any, refused("TLS"), Field(alias="terminatingTLS")] = None
    originating_tls: Annotated[Any, refused("TLS"), Field(alias="originatingTLS")] = None
    server_names: Annotated[Any, refused("TLS server names")] = None
    listener: Annotated[Any, refused("Envoy listeners")] = None


class IcmpField(Closed):
    """An ICMP type by number or by name."""

    family: Literal["IPv4", "IPv6"] = "IPv4"
    type: Any

    @field_validator("type")
    @classmethod
    def _known(cls, value: object, info: ValidationInfo) -> int:
        family = info.data.get("family", "IPv4")
        names = ICMPV6_TYPES if family == "IPv6" else ICMP_TYPES
        if isinstance(value, str):
            value = names.get(value, int(value) if value.isascii() and value.isdigit() and len(value) < 4 else value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_ICMP_TYPE:
            return value
        raise flaw(f"ICMP type {value!r} of {family}", f"0 to {LAST_ICMP_TYPE} or one of {', '.join(names)}")


class IcmpRule(Closed):
    """`icmps`: any of some types."""

    fields: Annotated[list[IcmpField], Field(max_length=40)]


class CidrRule(Closed):
    """A prefix, or the prefixes of CIDR groups, with exceptions."""

    cidr: Cidr = None
    excepts: Excepts = None
    cidr_group_ref: Name | None = None
    cidr_group_selector: LabelSelector | None = None

    @model_validator(mode="after")
    def _one_source(self) -> CidrRule:
        sources = {
            "cidr": self.cidr,
            "cidrGroupRef": self.cidr_group_ref,
            "cidrGroupSelector": self.cidr_group_selector,
        }
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            raise flaw(" together with ".join(given) or "no prefix", f"one of {', '.join(sources)}", given[1:2])
        return self


class NamedService(Closed):
    """A service by its name, of one namespace or, without, of any."""

    service_name: Name
    namespace: Name | None = None


class SelectedServices(Closed):
    """Services by their labels, of one namespace or, without, of any."""

    selector: LabelSelector
    namespace: Name | None = None


class ServiceRule(Closed):
    """Services, which stand for their backends."""

    k8s_service: Annotated[NamedService | None, Field(alias="k8sService")] = None
    k8s_service_selector: Annotated[SelectedServices | None, Field(alias="k8sServiceSelector")] = None

    @model_validator(mode="after")
    def _one_source(self) -> ServiceRule:
        given = [self.k8s_service, self.k8s_service_selector].count(None)
        if given != 1:
            found = "no service" if given else "k8sService together with k8sServiceSelector"
            raise flaw(found, "one of k8sService, k8sServiceSelector", [] if given else ["k8sServiceSelector"])
        return self


class Authentication(Closed):
    """Mutual authentication; only its absence can be enforced."""

    mode: Annotated[Literal["disabled"], BeforeValidator(_read_mode)]


class Side(Closed):
    """What the four kinds of rule have in common: at most one way to name peers, and ports or ICMP types."""

    PEER_FIELDS: ClassVar[tuple[str, ...]] = ()

    to_ports: list[PortDenyRule] | None = None
    icmps: list[IcmpRule] | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Side:
        given = [name for name in self.PEER_FIELDS if getattr(self, name)]
        aliases = [str(type(self).model_fields[name].alias) for name in given]
        if len(given) > 1:
            raise flaw(f"{aliases[0]} together with {aliases[1]}", "one of them in a rule", [aliases[1]])
        if self.to_ports and self.icmps:
            raise flaw("toPorts together with icmps", "one of them in a rule", ["icmps"])
        return self


class IngressDeny(Side):
    """One of `ingressDeny`."""

    PEER_FIELDS = ("endpoints", "cidrs", "cidr_set", "entities")

    endpoints: Annotated[list[LabelSelector] | None, Field(alias="fromEndpoints")] = None
    cidrs: Annotated[list[Cidr] | None, Field(alias="fromCIDR")] = None
    cidr_set: Annotated[list[CidrRule] | None, Field(alias="fromCIDRSet")] = None
    entities: Annotated[list[EntityName] | None, Field(alias="fromEntities")] = None
    from_requires: Annotated[Any, refused("a field that Cilium has given up")] = None
    from_groups: Annotated[Any, refused("cloud groups", peers=True)] = None
    from_nodes: Annotated[Any, refused("nodes by label", peers=True)] = None


class Ingress(IngressDeny):
    """One of `ingress`."""

    to_ports: list[PortRule] | None = None  # type: ignore[assignment]  # a list is read, never written
    authentication: Authentication | None = None


class EgressDeny(Side):
    """One of `egressDeny`."""

    PEER_FIELDS = ("endpoints", "cidrs", "cidr_set", "entities", "services")

    endpoints: Annotated[list[LabelSelector] | None, Field(alias="toEndpoints")] = None
    cidrs: Annotated[list[Cidr] | None, Field(alias="toCIDR")] = None
    cidr_set: Annotated[list[CidrRule] | None, Field(alias="toCIDRSet")] = None
    entities: Annotated[list[EntityName] | None, Field(alias="toEntities")] = None
    to_requires: Annotated[Any, refused("a field that Cilium has given up")] = None
    services: Annotated[list[ServiceRule] | None, Field(alias="toServices")] = None
    to_groups: Annotated[Any, refused("cloud groups", peers=True)] = None
    to_nodes: Annotated[Any, refused("nodes by label", peers=True)] = None


class Egress(EgressDeny):
    """One of `egress`."""

    to_ports: list[PortRule] | None = None  # type: ignore[assignment]  # a list is read, never written
    to_fqdns: Annotated[Any, refused("domain names as peers", peers=True), Field(alias="toFQDNs")] = None
    authentication: Authentication | None = None


class DefaultDeny(Closed):
    """Whether the rules of a direction isolate; they do unless this says otherwise."""

    ingress: bool | None = None
    egress: bool | None = None


class Log(Closed):
    """A text that goes with what the rules decide."""

    value: str | None = None

    @field_validator("value")
    @classmethod
    def _short(cls, value: str | None) -> str | None:
        if value and (len(value) > _LOG_LENGTH or not value.isprintable()):
            raise flaw(f"a log text of {len(value)} characters", f"at most {_LOG_LENGTH} printable ones")
        return value


class PolicyLabel(Closed):
    """A label of the policy itself; it selects nothing."""

    key: str
    value: str | None = None
    source: str | None = None


class Spec(Closed):
    """The rules for the endpoints, or for the nodes, that one selector selects."""

    endpoint_selector: LabelSelector | None = None
    node_selector: LabelSelector | None = None
    ingress: list[Ingress] | None = None
    ingress_deny: list[IngressDeny] | None = None
    egress: list[Egress] | None = None
    egress_deny: list[EgressDeny] | None = None
    labels: list[PolicyLabel] | None = None
    enable_default_deny: DefaultDeny | None = None
    description: str | None = None
    log: Log | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Spec:
        if self.endpoint_selector is not None and self.node_selector is not None:
            raise flaw("endpointSelector together with nodeSelector", "one of them", ["nodeSelector"])
        if self.endpoint_selector is None and self.node_selector is None:
            raise flaw("no 'endpointSelector'", "the field endpointSelector; {} selects all")
        if all(each is None for each in (self.ingress, self.ingress_deny, self.egress, self.egress_deny)):
            raise flaw("a rule without ingress, ingressDeny, egress and egressDeny", "at least one of them")
        return self


class CidrGroupSpec(Closed):
    """What a CiliumCIDRGroup says."""

    external_cidrs: Annotated[list[Cidr], Field(alias="externalCIDRs")]


class CiliumCidrGroup(Closed):
    """A whole document: prefixes that rules refer to by the name or the labels of the document."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: CidrGroupSpec
    status: Any = None


class CiliumPolicy(Closed):
    """A whole document of either kind."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: Spec | None = None
    specs: list[Spec] | None = None
    status: Any = None

    @model_validator(mode="after")
    def _has_spec(self) -> CiliumPolicy:
        if self.spec is None and not self.specs:
            raise flaw("a policy without spec and specs", "one of them")
        return self

    @model_validator(mode="after")
    def _nodes_are_in_no_namespace(self) -> CiliumPolicy:
        if self.kind == _CLUSTERWIDE:
            return self
        paths: list[Path] = [("spec",), *(("specs", index) for index in range(len(self.specs or [])))]
        for path, spec in zip(paths, (self.spec, *(self.specs or [])), strict=True):
            if spec is not None and spec.node_selector is not None:
                expected = f"endpointSelector; a {_CLUSTERWIDE} can select nodes"
                raise flaw(f"nodeSelector in a {self.kind}", expected, [*path, "nodeSelector"])
        return self
