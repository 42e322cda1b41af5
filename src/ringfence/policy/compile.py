"""From a CiliumNetworkPolicy's fields to rules: what nil, empty and `{}` mean, and which namespace a selector means.

A list that is absent says nothing about its subject; an empty list names nobody; one empty selector names everybody in
reach. A rule without peers and ports lets nothing through, but isolates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network
from typing import Final

from ringfence.abi import Direction, Verdict
from ringfence.identity.prefixes import Block
from ringfence.identity.reserved import Reserved
from ringfence.labels import DEFAULT_NAMESPACE, NAMESPACE_KEY, NAMESPACE_LABELS, NAMESPACE_NAME_LABEL, Label, Labels
from ringfence.policy.builtin import reserved_selector
from ringfence.policy.cilium import (
    CidrRule,
    CiliumCidrGroup,
    CiliumPolicy,
    EgressDeny,
    IngressDeny,
    PortProtocol,
    ServiceRule,
    Spec,
)
from ringfence.policy.document import Document, Path
from ringfence.policy.rule import (
    ALL_TRAFFIC,
    ANYONE,
    NOBODY,
    CidrGroup,
    GroupBlock,
    NamedPort,
    Origin,
    Peers,
    Policy,
    Ports,
    Rule,
    ServiceRef,
)
from ringfence.policy.schema import LabelSelector
from ringfence.selector import CIDR_SOURCE, Operator, Requirement, Selector, requirement_key
from ringfence.traffic import LAST_PORT, WITH_PORTS, Protocol

IN_SOME_NAMESPACE: Final = Requirement("k8s", NAMESPACE_KEY, Operator.EXISTS)
_GROUP_SOURCE: Final = "cidrgroup"
_CLUSTER: Final = (
    Reserved.HOST, Reserved.REMOTE_NODE, Reserved.INIT, Reserved.INGRESS, Reserved.HEALTH, Reserved.UNMANAGED,
    Reserved.KUBE_APISERVER,
)  # fmt: skip
#: A family's part of the world is a matter of address: its label stands for the family's whole prefix.
_FAMILY_KEYS: Final = {
    Reserved.WORLD_IPV4.label.key: (CIDR_SOURCE, "0.0.0.0/0"),
    Reserved.WORLD_IPV6.label.key: (CIDR_SOURCE, "::/0"),
}

Item = IngressDeny | EgressDeny


def read_selector(written: LabelSelector) -> Selector:
    """A selector as written, without any default."""
    requirements = [
        requirement(*requirement_key(key), Operator.IN, [value]) for key, value in (written.match_labels or {}).items()
    ]
    requirements += [
        requirement(*requirement_key(each.key), Operator(each.operator), each.values or [])
        for each in written.match_expressions or []
    ]
    return Selector.of(requirements)


def entity_selectors(entity: str) -> tuple[Selector, ...]:
    """Whom an entity stands for, but for `all` and `none`. Raises KeyError for what is no entity."""
    if entity == "cluster":
        return (*map(reserved_selector, _CLUSTER), Selector((IN_SOME_NAMESPACE,)))
    if entity in _FAMILY_KEYS:
        source, key = _FAMILY_KEYS[entity]
        return (Selector((Requirement(source, key, Operator.EXISTS),)),)
    return (reserved_selector(Reserved[entity.upper().replace("-", "_")]),)


def read_policy(document: Document, written: CiliumPolicy, base: Path = ()) -> Policy:
    """The policy that a checked document says. `base` is where in the document it stands (in a List)."""
    clusterwide = written.kind == "CiliumClusterwideNetworkPolicy"
    namespace = "" if clusterwide else written.metadata.namespace or DEFAULT_NAMESPACE
    uid = f"{written.kind}/{namespace}/{written.metadata.name}"
    paths: list[Path] = [(*base, "specs", index) for index in range(len(written.specs or []))]
    specs = list(zip(written.specs or [], paths, strict=True))
    if written.spec is not None:
        specs.insert(0, (written.spec, (*base, "spec")))
    rules: list[Rule] = []
    for spec, path in specs:
        rules.extend(_SpecReader(document, uid, namespace, spec, path).rules(len(rules)))
    origin = origin_of(document, base)
    return Policy(
        written.kind, namespace, written.metadata.name, tuple(rules), origin, document.text, document.text_line
    )


class _SpecReader:
    """Reads one spec: everything in it has the same subject and the same namespace."""

    def __init__(self, document: Document, uid: str, namespace: str, spec: Spec, path: Path) -> None:
        selector = spec.endpoint_selector if spec.node_selector is None else spec.node_selector
        assert selector is not None, "the schema demands one"
        self._document = document
        self._uid = uid
        self._namespace = namespace
        self._spec = spec
        self._path = path
        written = read_selector(selector)
        self._for_init = any(each.source == "reserved" and each.key == "init" for each in written.requirements)
        self._subject = self._in_own_namespace(written) if namespace else written

    def rules(self, first_index: int) -> Iterator[Rule]:
        """The rules of the spec, numbered from `first_index`."""
        index = first_index
        for direction, isolate, items in self._directions():
            for item, verdict, path in items:
                yield Rule(
                    policy=self._uid,
                    index=index,
                    direction=direction,
                    verdict=verdict,
                    subject=self._subject,
                    peers=self._peers(item) if item else NOBODY,
                    traffic=_traffic(item) if item else ALL_TRAFFIC,
                    default_deny=isolate,
                    origin=origin_of(self._document, path),
                    named_ports=_named_ports(item) if item else (),
                    for_host=self._spec.node_selector is not None,
                )
                index += 1

    def _directions(self) -> Iterator[tuple[Direction, bool, list[tuple[Item | None, Verdict, Path]]]]:
        spec, wanted = self._spec, self._spec.enable_default_deny
        sides: tuple[tuple[Direction, str, Sequence[Item] | None, Sequence[Item] | None, bool | None], ...] = (
            (Direction.INGRESS, "ingress", spec.ingress, spec.ingress_deny, wanted.ingress if wanted else None),
            (Direction.EGRESS, "egress", spec.egress, spec.egress_deny, wanted.egress if wanted else None),
        )
        for direction, name, allowed, denied, isolate in sides:
            items: list[tuple[Item | None, Verdict, Path]] = [
                (item, Verdict.ALLOW, (*self._path, name, i)) for i, item in enumerate(allowed or [])
            ]
            items += [(item, Verdict.DENY, (*self._path, f"{name}Deny", i)) for i, item in enumerate(denied or [])]
            if isolate and not items:
                items = [(None, Verdict.ALLOW, (*self._path, "enableDefaultDeny", name))]
            yield direction, isolate is not False, items

    def _in_own_namespace(self, written: Selector) -> Selector:
        """A namespaced policy protects endpoints of its namespace, whatever its selector says about that."""
        others = [each for each in written.requirements if each.key != NAMESPACE_KEY]
        return Selector.of([*others, self._own_namespace])

    @property
    def _own_namespace(self) -> Requirement:
        return Requirement("k8s", NAMESPACE_KEY, Operator.IN, frozenset({self._namespace}))

    def _peer_selector(self, written: LabelSelector) -> Selector:
        """A selector that does not speak of namespaces means the policy's own, or any for a clusterwide policy."""
        selector = read_selector(written)
        sources = {requirement_key(key)[0] for key in _keys(written)}
        if sources & {"reserved", CIDR_SOURCE} or selector.mentions_namespace:
            return selector
        if self._namespace:
            return selector & [self._own_namespace]
        return selector if self._for_init else selector & [IN_SOME_NAMESPACE]

    def _peers(self, item: Item) -> Peers:
        services = item.services if isinstance(item, EgressDeny) else None
        given = (item.endpoints, item.cidrs, item.cidr_set, item.entities, services)
        if all(each is None for each in given):
            return ANYONE if item.to_ports or item.icmps else NOBODY
        if "all" in (item.entities or []):
            return ANYONE
        entities = [entity for entity in item.entities or [] if entity != "none"]
        selectors = [self._peer_selector(each) for each in item.endpoints or []]
        selectors += [selector for entity in entities for selector in entity_selectors(entity)]
        blocks = [Block(prefix) for prefix in item.cidrs or []]
        blocks += [Block(each.cidr, tuple(each.excepts or [])) for each in item.cidr_set or [] if each.cidr is not None]
        groups = [_group_block(each) for each in item.cidr_set or [] if each.cidr is None]
        return Peers(
            selectors=tuple(dict.fromkeys(selectors)),
            outside=tuple(dict.fromkeys(blocks)),
            groups=tuple(dict.fromkeys(groups)),
            services=tuple(dict.fromkeys(map(_service_ref, services or []))),
        )


def read_cidr_group(document: Document, written: CiliumCidrGroup, base: Path) -> Policy:
    """A CIDR group, which is applied and deleted as a policy is."""
    name = written.metadata.name
    labels = Labels(Label(_GROUP_SOURCE, key, value) for key, value in (written.metadata.labels or {}).items())
    group = CidrGroup(name, labels, tuple(dict.fromkeys(written.spec.external_cidrs)))
    origin = origin_of(document, base)
    return Policy(written.kind, "", name, (), origin, document.text, document.text_line, group)


def _group_block(written: CidrRule) -> GroupBlock:
    selector = read_selector(written.cidr_group_selector) if written.cidr_group_selector else None
    return GroupBlock(written.cidr_group_ref or "", selector, tuple(written.excepts or []))


def _service_ref(written: ServiceRule) -> ServiceRef:
    named, selected = written.k8s_service, written.k8s_service_selector
    if named is not None:
        return ServiceRef(named.service_name, named.namespace or "")
    assert selected is not None, "the schema demands one"
    return ServiceRef(namespace=selected.namespace or "", selector=read_selector(selected.selector))


def _traffic(item: Item) -> tuple[Ports, ...]:
    ports = [each for rule in item.to_ports or [] for port in rule.ports for each in _ports(port)]
    for field in (field for rule in item.icmps or [] for field in rule.fields):
        protocol = Protocol.ICMPV6 if field.family == "IPv6" else Protocol.ICMP
        ports.append(Ports(protocol, field.type, field.type))
    return tuple(dict.fromkeys(ports)) if item.to_ports or item.icmps else ALL_TRAFFIC


def _named_ports(item: Item) -> tuple[NamedPort, ...]:
    ports = [port for rule in item.to_ports or [] for port in rule.ports if isinstance(port.port, str)]
    return tuple(NamedPort(str(port.port), protocol) for port in ports for protocol in _protocols(port))


def _protocols(written: PortProtocol) -> list[Protocol]:
    return [Protocol[written.protocol]] if written.protocol not in {None, "", "ANY"} else list(WITH_PORTS)


def _ports(written: PortProtocol) -> list[Ports]:
    if isinstance(written.port, str):
        return []
    first, last = (written.port, written.end_port or written.port) if written.port else (0, LAST_PORT)
    return [Ports(protocol, first, last) for protocol in _protocols(written)]


def requirement(source: str, key: str, operator: Operator, values: Iterable[str]) -> Requirement:
    """A requirement in its one form here: a namespace's name and a family's world have one key each."""
    if source in {"k8s", "any"} and key == NAMESPACE_LABELS + NAMESPACE_NAME_LABEL:
        source, key = "k8s", NAMESPACE_KEY
    if source == "reserved":
        source, key = _FAMILY_KEYS.get(key, (source, key))
    if source == CIDR_SOURCE:
        key = str(ip_network(key))
    return Requirement(source, key, operator, frozenset(values))


def _keys(written: LabelSelector) -> list[str]:
    return [*(written.match_labels or {}), *(each.key for each in written.match_expressions or [])]


def origin_of(document: Document, path: Path) -> Origin:
    """Where the node at a path is written."""
    return Origin(document.file, document.place.at(path).line, document.number)
