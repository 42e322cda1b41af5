"""AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy: their schema, and the rules they mean.

Policies of whoever runs a cluster, judged before (Admin) or after (Baseline) those of the workloads' authors. They
never isolate: of the rules of one policy the first that matches decides, and what none of them matches goes on to the
next tier, as does what a rule passes. A pass out of the last tier is what no policy speaks of: allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from ringfence.abi import Direction, Tier, Verdict
from ringfence.identity.prefixes import Block
from ringfence.identity.reserved import Reserved
from ringfence.labels import NAMESPACE_LABELS
from ringfence.policy.builtin import reserved_selector
from ringfence.policy.cilium import read_port_name
from ringfence.policy.compile import IN_SOME_NAMESPACE, origin_of
from ringfence.policy.document import Document, Path
from ringfence.policy.kubernetes import requirements
from ringfence.policy.rule import ALL_TRAFFIC, NamedPort, Peers, Policy, Ports, Rule
from ringfence.policy.schema import Cidr, Closed, LabelSelector, Metadata, flaw, not_enforced, refused
from ringfence.selector import Selector
from ringfence.traffic import LAST_PORT, Protocol

_PRIORITY: Final = Field(ge=0, le=1000)
_VERDICTS: Final = {"Allow": Verdict.ALLOW, "Accept": Verdict.ALLOW, "Deny": Verdict.DENY, "Pass": Verdict.PASS}
_NODES: Final = (Reserved.HOST, Reserved.REMOTE_NODE, Reserved.KUBE_APISERVER)

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


def read_admin_policy(document: Document, written: AnyKind, base: Path) -> Policy:
    """The policy that a checked document of one of the kinds says."""
    kind, name, spec = written.kind, written.metadata.name, written.spec
    subject = spec.subject.selector
    assert subject is not None, "the schema demands it"
    baseline = isinstance(spec, BaselineSpec) or (isinstance(spec, ClusterSpec) and spec.tier == "Baseline")
    rules: list[Rule] = []
    for way, direction, items in (
        ("ingress", Direction.INGRESS, spec.ingress or ()),
        ("egress", Direction.EGRESS, spec.egress or ()),
    ):
        for order, item in enumerate(items):
            traffic, named = _traffic(item)
            verdict = _VERDICTS[item.action]
            rules.append(
                Rule(
                    policy=f"{kind}//{name}",
                    index=len(rules),
                    direction=direction,
                    verdict=Verdict.ALLOW if baseline and verdict == Verdict.PASS else verdict,
                    subject=subject,
                    peers=_peers(item.peers),
                    traffic=traffic,
                    tier=Tier.BASELINE if baseline else Tier.ADMIN,
                    priority=0 if isinstance(spec, BaselineSpec) else spec.priority,
                    order=order,
                    default_deny=False,
                    origin=origin_of(document, (*base, "spec", way, order)),
                    named_ports=named,
                )
            )
    return Policy(kind, "", name, tuple(rules), origin_of(document, base), document.text)


def _peers(written: Sequence[Pods]) -> Peers:
    selectors = [each.selector for each in written if each.selector is not None]
    elsewhere = [each for each in written if isinstance(each, Destination)]
    if any(each.nodes is not None for each in elsewhere):
        selectors += map(reserved_selector, _NODES)
    blocks = [Block(network) for each in elsewhere for network in each.networks or []]
    return Peers(selectors=tuple(dict.fromkeys(selectors)), addresses=tuple(dict.fromkeys(blocks)))


def _traffic(item: AdminRule) -> tuple[tuple[Ports, ...], tuple[NamedPort, ...]]:
    meant = [each.meant for each in item.traffic_written()]
    if not meant:
        return ALL_TRAFFIC, ()
    numbered = [each for each in meant if isinstance(each, Ports)]
    named = [each for each in meant if isinstance(each, NamedPort)]
    return tuple(dict.fromkeys(numbered)), tuple(dict.fromkeys(named))
