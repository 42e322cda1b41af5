"""NetworkPolicy of Kubernetes: its schema, and the rules it means.

It only ever allows. A policy isolates the pods it selects in the directions of its types; an absent or empty `from`,
`to` or `ports` means everybody and everything. An `ipBlock` means addresses, those of pods too. Whatever it says, the
node reaches its own pods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from ringfence.abi import Direction, Verdict
from ringfence.identity.prefixes import Block
from ringfence.identity.reserved import Reserved
from ringfence.labels import DEFAULT_NAMESPACE, NAMESPACE_KEY, NAMESPACE_LABELS
from ringfence.policy.builtin import reserved_selector
from ringfence.policy.cilium import read_port
from ringfence.policy.compile import IN_SOME_NAMESPACE, origin_of, requirement
from ringfence.policy.document import Document, Path
from ringfence.policy.rule import ALL_TRAFFIC, ANYONE, NOBODY, NamedPort, Peers, Policy, Ports, Rule
from ringfence.policy.schema import Cidr, Closed, Excepts, LabelSelector, Metadata, flaw
from ringfence.selector import Operator, Requirement, Selector
from ringfence.traffic import LAST_PORT, Protocol


def _read_port(value: object) -> int | str | None:
    port = None if value is None else read_port(value)
    if port == 0:
        raise flaw("port 0", f"a port, 1 to {LAST_PORT}")
    return port


class IpBlock(Closed):
    """Addresses with exceptions."""

    cidr: Cidr
    excepts: Excepts = None


class Peer(Closed):
    """Pods, pods of namespaces, or addresses."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IpBlock | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Peer:
        by_label = self.pod_selector is not None or self.namespace_selector is not None
        if self.ip_block is not None and by_label:
            raise flaw("ipBlock together with a selector", "one of them in a peer", ["ipBlock"])
        if self.ip_block is None and not by_label:
            raise flaw("an empty peer", "podSelector, namespaceSelector or ipBlock")
        return self


class Port(Closed):
    """A port or range of ports; without a number all of the protocol."""

    protocol: Literal["TCP", "UDP", "SCTP"] | None = None
    port: Annotated[Any, BeforeValidator(_read_port)] = None
    end_port: int | None = None

    @field_validator("end_port")
    @classmethod
    def _ends_behind(cls, end: int | None, info: ValidationInfo) -> int | None:
        if end is not None and "port" in info.data:
            first = info.data["port"]
            if not isinstance(first, int) or not first <= end <= LAST_PORT:
                start = first if isinstance(first, int) else "port, a number"
                raise flaw(f"endPort {end}", f"a port from {start}, where the range starts, to {LAST_PORT}")
        return end


class Ingress(Closed):
    """One of `ingress`."""

    peers: Annotated[list[Peer] | None, Field(alias="from")] = None
    ports: list[Port] | None = None


class Egress(Closed):
    """One of `egress`."""

    peers: Annotated[list[Peer] | None, Field(alias="to")] = None
    ports: list[Port] | None = None

    @model_validator(mode="after")
    def _names_belong_to_pods(self) -> Egress:
        """A name is the destination pod's own; that an address lies in a block does not say whose it is."""
        blocks = [index for index, peer in enumerate(self.peers or []) if peer.ip_block]
        if blocks and any(isinstance(port.port, str) for port in self.ports or []):
            expected = "a port number, or pods by selector in a rule of their own; nothing of this policy is applied"
            raise flaw(
                "ipBlock together with a port by name, which Ringfence does not enforce",
                expected,
                ["to", blocks[0], "ipBlock"],
            )
        return self


class Spec(Closed):
    """What a NetworkPolicy says."""

    pod_selector: LabelSelector = LabelSelector()
    ingress: list[Ingress] | None = None
    egress: list[Egress] | None = None
    policy_types: list[Literal["Ingress", "Egress"]] | None = None


class NetworkPolicy(Closed):
    """A whole document."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: Spec
    status: Any = None


def read_network_policy(document: Document, written: NetworkPolicy, base: Path) -> Policy:
    """The policy that a checked document says."""
    namespace, spec = written.metadata.namespace or DEFAULT_NAMESPACE, written.spec
    uid = f"{written.kind}/{namespace}/{written.metadata.name}"
    own = Requirement("k8s", NAMESPACE_KEY, Operator.IN, frozenset({namespace}))
    subject = Selector.of([*requirements(spec.pod_selector), own])
    types: Sequence[str] = spec.policy_types or (["Ingress", "Egress"] if spec.egress else ["Ingress"])
    rules: list[Rule] = []
    for name, direction, items in (
        ("Ingress", Direction.INGRESS, spec.ingress),
        ("Egress", Direction.EGRESS, spec.egress),
    ):
        if name in types:
            for item, path in _statements(items or [], (*base, "spec", name.lower()), (*base, "spec")):
                rules.append(
                    Rule(
                        policy=uid,
                        index=len(rules),
                        direction=direction,
                        verdict=Verdict.ALLOW,
                        subject=subject,
                        peers=_peers(item, own) if item else NOBODY,
                        traffic=_traffic(item) if item else ALL_TRAFFIC,
                        origin=origin_of(document, path),
                        named_ports=_named_ports(item) if item else (),
                    )
                )
    origin = origin_of(document, base)
    if "Ingress" in types:
        host = Peers(selectors=(reserved_selector(Reserved.HOST),))
        rules.append(
            Rule(uid, len(rules), Direction.INGRESS, Verdict.ALLOW, subject, host, default_deny=False, origin=origin)
        )
    return Policy(
        written.kind, namespace, written.metadata.name, tuple(rules), origin, document.text, document.text_line
    )


def _statements(
    items: Sequence[Ingress | Egress], path: Path, alone: Path
) -> list[tuple[Ingress | Egress | None, Path]]:
    """Each item with its place; a direction without any isolates all the same."""
    return [(item, (*path, index)) for index, item in enumerate(items)] or [(None, alone)]


def _peers(item: Ingress | Egress, own: Requirement) -> Peers:
    if not item.peers:
        return ANYONE
    blocks = [Block(each.ip_block.cidr, tuple(each.ip_block.excepts or [])) for each in item.peers if each.ip_block]
    selectors = [_selector(each, own) for each in item.peers if not each.ip_block]
    return Peers(selectors=tuple(dict.fromkeys(selectors)), addresses=tuple(dict.fromkeys(blocks)))


def _selector(peer: Peer, own: Requirement) -> Selector:
    pods = requirements(peer.pod_selector) if peer.pod_selector else []
    if peer.namespace_selector is None:
        return Selector.of([*pods, own])
    return Selector.of([*pods, *requirements(peer.namespace_selector, NAMESPACE_LABELS), IN_SOME_NAMESPACE])


def requirements(written: LabelSelector, prefix: str = "") -> list[Requirement]:
    """Keys are whole: a colon in one is no source here."""
    found = [
        requirement("k8s", prefix + key, Operator.IN, [value]) for key, value in (written.match_labels or {}).items()
    ]
    found += [
        requirement("k8s", prefix + each.key, Operator(each.operator), each.values or [])
        for each in written.match_expressions or []
    ]
    return found


def _traffic(item: Ingress | Egress) -> tuple[Ports, ...]:
    if not item.ports:
        return ALL_TRAFFIC
    return tuple(dict.fromkeys(_ports(port) for port in item.ports if not isinstance(port.port, str)))


def _named_ports(item: Ingress | Egress) -> tuple[NamedPort, ...]:
    named = [port for port in item.ports or [] if isinstance(port.port, str)]
    return tuple(dict.fromkeys(NamedPort(str(port.port), Protocol[port.protocol or "TCP"]) for port in named))


def _ports(written: Port) -> Ports:
    protocol = Protocol[written.protocol or "TCP"]
    return Ports(protocol) if written.port is None else Ports(protocol, written.port, written.end_port or written.port)
