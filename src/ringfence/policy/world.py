"""Worlds: the workloads, nodes and policies that questions are asked about, without any kernel.

A world gives every party of a question an actor: labels, addresses and whether it is a workload whose policies are
judged. What manifests leave out is made up in a way that changes no answer: addresses from a range set aside for tests,
and for `world` an address that no policy prefix but a whole family contains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import chain, count
from typing import Final

from ringfence.identity.prefixes import Address, Block, Network, host_network, inside
from ringfence.identity.reserved import RESERVED_LABELS, Reserved
from ringfence.labels import Label, Labels, parse_label, workload_labels
from ringfence.policy.builtin import LINK_LOCAL, Settings, builtin_policies
from ringfence.policy.case import Party
from ringfence.policy.manifest import ContainerPort, Namespace, Node, Pod
from ringfence.policy.parse import Parsed
from ringfence.policy.rule import CidrGroup, Policy, Rule
from ringfence.policy.service_set import ServiceSet

DEFAULT_SETTINGS: Final = Settings()
#: RFC 2544, for tests of devices; and a prefix of unique local addresses.
_MADE_UP_V4: Final = IPv4Network("198.18.0.0/15")
_MADE_UP_V6: Final = IPv6Network("fd72:696e:6766::/64")
#: Where the world's representative is looked for: ranges for documentation, then anywhere.
_WORLD: Final = {
    4: tuple(map(ip_address, ("203.0.113.1", "198.51.100.1", "192.0.2.1"))),
    6: tuple(map(ip_address, ("2001:db8::1", "3fff::1"))),
}
_ANYWHERE: Final[dict[int, list[Address]]] = {
    4: [IPv4Address(0x01020304 + 0x01030507 * index) for index in range(200)],
    6: [IPv6Address((0x2600 << 112) + (index << 96) + 1) for index in range(200)],
}
_FAMILY_OF: Final = {"world-ipv4": (4,), "world-ipv6": (6,), "world": (4, 6)}


@dataclass(frozen=True)
class Actor:
    """One end of a packet. `local`: a workload whose policies are judged. `outside`: no workload and no node.

    `addressed`: rules about outside prefixes mean it all the same. `ports` are those it has names for.
    """

    name: str
    labels: Labels
    addresses: tuple[Address, ...]
    local: bool = False
    outside: bool = False
    addressed: bool = False
    reserved: Reserved | None = None
    ports: tuple[ContainerPort, ...] = ()

    def address(self, version: int) -> Address | None:
        return next((each for each in self.addresses if each.version == version), None)

    def __hash__(self) -> int:
        return hash((self.name, self.labels))


@dataclass(frozen=True)
class World:
    """Everything that a verdict depends on. Actors are known by their names; `nodes` only as entities and addresses."""

    policies: tuple[Policy, ...]
    namespaces: Mapping[str, Namespace]
    actors: Mapping[str, Actor]
    settings: Settings = DEFAULT_SETTINGS
    parties: Mapping[Party, Actor] = field(default_factory=dict)
    nodes: tuple[Actor, ...] = ()
    services: ServiceSet = field(default_factory=ServiceSet)

    @property
    def rules(self) -> Iterator[Rule]:
        """All rules in force, the built-in ones too, with what CIDR groups hold in the place of the groups and the
        backends of the services that they name.
        """
        if self.settings.enforcement == "never":
            return iter(())
        policies, groups = (*self.policies, *builtin_policies(self.settings)), self.groups
        in_force = (rule for policy in policies for rule in policy.rules if not rule.staged)
        return (self.services.resolve(_ungrouped(rule, groups)) for rule in in_force)

    @property
    def groups(self) -> list[CidrGroup]:
        return [policy.group for policy in self.policies if policy.group is not None]

    @property
    def owners(self) -> Mapping[Address, str]:
        """The actor that has each address; of several the first."""
        everyone = reversed(list(self.actors.items()))
        return {address: name for name, actor in everyone for address in actor.addresses}

    def actor(self, party: Party) -> Actor:
        """Raises KeyError for a party that the world was not built with and that is no pod of it."""
        return self.parties[party] if party in self.parties else self.actors[party.pod]

    def everyone(self) -> list[Actor]:
        """All actors, each once. A party that is one address of a workload is an actor besides the workload."""
        return list(dict.fromkeys((*self.actors.values(), *self.parties.values())))


def build_world(parsed: Parsed, parties: Iterable[Party] = (), settings: Settings = DEFAULT_SETTINGS) -> World:
    """The world that documents describe, with an actor for each party. A pod that is not there has none."""
    labels = settings.node_labels | (parsed.nodes[0].labels if parsed.nodes else ())
    return _Builder(parsed, replace(settings, node_labels=labels)).build(parties)


def place_parties(world: World, parties: Iterable[Party]) -> World:
    """The same world with an actor for each of some parties besides. A pod that is not there has none."""
    parsed = Parsed(world.policies, tuple(world.namespaces.values()), (), (), (), (), {})
    return _Builder(parsed, world.settings, world).build(parties)


class _Builder:
    def __init__(self, parsed: Parsed, settings: Settings, known: World | None = None) -> None:
        self._parsed = parsed
        self._services = known.services if known else ServiceSet((*parsed.services, *parsed.slices))
        self._settings = settings
        self._namespaces = {namespace.name: namespace for namespace in parsed.namespaces}
        self._taken = {address for pod in parsed.pods for address in pod.addresses}
        self._taken |= {address for node in parsed.nodes for address in node.addresses}
        self._actors = dict(known.actors) if known else {}
        self._nodes = list(known.nodes) if known else []
        self._taken |= {address for each in (*self._actors.values(), *self._nodes) for address in each.addresses}
        self._free = {4: _unused(_MADE_UP_V4, self._taken), 6: _unused(_MADE_UP_V6, self._taken)}
        self._by_address: dict[Address, Actor] = {}
        self._entities: dict[str, Actor] = {}

    def build(self, parties: Iterable[Party]) -> World:
        for actor in (*self._actors.values(), *self._nodes):
            self._remember(actor)
        for node in self._nodes:
            self._entities.setdefault(node.labels.from_source("reserved")[0].key, node)
        actors = self._actors | {pod.path: self._pod(pod) for pod in self._parsed.pods}
        for written, entity in zip(self._parsed.nodes, chain(["host"], _forever("remote-node")), strict=False):
            self._nodes.append(self._node(written, entity))
        found: dict[Party, Actor] = {}
        for party in dict.fromkeys(parties):
            if party.pod not in actors and party.pod:
                continue
            found[party] = actors[party.pod] if party.pod else self._other(party)
        policies, nodes = self._parsed.policies, tuple(self._nodes)
        return World(policies, self._namespaces, actors, self._settings, found, nodes, self._services)

    def _pod(self, pod: Pod) -> Actor:
        if pod.host_network:
            actor = self._reserved(pod.path, Reserved.HOST, pod.addresses or self._made_up())
        else:
            labels, ports = pod.all_labels(self._namespaces), tuple(port for port in pod.ports if port.name)
            actor = Actor(pod.path, labels, pod.addresses or self._made_up(), local=True, ports=ports)
        return self._remember(actor)

    def _node(self, node: Node, entity: str) -> Actor:
        """The first node is the one the workloads run on."""
        reserved = Reserved.HOST if entity == "host" else Reserved.REMOTE_NODE
        addresses = node.addresses or self._made_up()
        actor = self._remember(self._reserved(f"node {node.name}", reserved, addresses))
        self._entities.setdefault(entity, actor)
        return actor

    def _other(self, party: Party) -> Actor:
        if party.address is not None:
            return self._at_address(party.address)
        if party.labels is not None:
            return self._workload(str(party), map(parse_label, party.labels), party.namespace)
        if party.entity not in self._entities:
            self._entities[party.entity] = self._entity(party.entity)
        return self._entities[party.entity]

    def _workload(self, name: str, labels: Iterable[Label], namespace: str) -> Actor:
        of_namespace = self._namespaces[namespace].labels if namespace in self._namespaces else None
        return self._remember(
            Actor(name, workload_labels(labels, namespace, of_namespace), self._made_up(), local=True)
        )

    def _entity(self, entity: str) -> Actor:
        if entity in _FAMILY_OF:
            addresses = tuple(self._outside_address(version) for version in _FAMILY_OF[entity])
            return Actor(entity, outside_labels(addresses), addresses, outside=True)
        reserved = Reserved[entity.upper().replace("-", "_")]
        return self._remember(self._reserved(entity, reserved, self._made_up()))

    def _reserved(self, name: str, reserved: Reserved, addresses: tuple[Address, ...]) -> Actor:
        """Whoever has a reserved identity. With the setting, prefixes mean the addresses of nodes too."""
        widened = self._settings.policy_cidr_match_mode == "nodes"
        return Actor(
            name,
            self._settings.host_labels if reserved == Reserved.HOST else RESERVED_LABELS[reserved],
            addresses,
            local=reserved == Reserved.INIT,
            addressed=widened and reserved in {Reserved.HOST, Reserved.REMOTE_NODE},
            reserved=reserved,
        )

    def _at_address(self, address: Address) -> Actor:
        if address in self._by_address:
            return replace(self._by_address[address], addresses=(address,))
        network = host_network(address)
        if inside(network, LINK_LOCAL):
            return Actor(str(address), self._settings.host_labels, (address,), reserved=Reserved.HOST)
        if any(inside(network, prefix) for prefix in self._settings.workload_prefixes):
            return Actor(str(address), RESERVED_LABELS[Reserved.UNMANAGED], (address,), reserved=Reserved.UNMANAGED)
        return Actor(str(address), outside_labels([address]), (address,), outside=True)

    def _remember(self, actor: Actor) -> Actor:
        for address in actor.addresses:
            self._by_address[address] = actor
        return actor

    def _made_up(self) -> tuple[Address, ...]:
        return next(self._free[4]), next(self._free[6])

    def _outside_address(self, version: int) -> Address:
        anywhere = (each for each in _ANYWHERE[version] if each.is_global)
        candidates = [each for each in chain(_WORLD[version], anywhere) if each not in self._by_address]
        return next((each for each in candidates if not self._told_apart(each)), candidates[0])

    @cached_property
    def _prefixes(self) -> set[Network]:
        rules = World(self._parsed.policies, {}, {}, self._settings, services=self._services).rules
        return {prefix for rule in rules for prefix in rule.prefixes}

    def _told_apart(self, address: Address) -> bool:
        network = host_network(address)
        prefixes: Iterable[Network] = chain(self._prefixes, self._settings.workload_prefixes)
        return any(prefix.prefixlen and inside(network, prefix) for prefix in prefixes)


def _ungrouped(rule: Rule, groups: Iterable[CidrGroup]) -> Rule:
    """A rule with the prefixes that the groups it speaks of hold, each without the exceptions that lie in it."""
    if not rule.peers.groups:
        return rule
    blocks = list(rule.peers.outside)
    for written in rule.peers.groups:
        for prefix in (prefix for group in groups if written.means(group) for prefix in group.prefixes):
            excepts = tuple(each for each in written.excepts if inside(each, prefix))
            blocks += [Block(prefix, excepts)] if not any(inside(prefix, each) for each in written.excepts) else []
    return replace(rule, peers=replace(rule.peers, outside=tuple(blocks), groups=()))


def outside_labels(addresses: Iterable[Address]) -> Labels:
    """The labels of what is no workload and no node: the world, and every prefix that its address lies in."""
    return Labels([Reserved.WORLD.label, *(Label("cidr", str(host_network(each))) for each in addresses)])


def _unused(network: Network, taken: set[Address]) -> Iterator[Address]:
    return (each for each in (network[index] for index in count(1)) if each not in taken)


def _forever(text: str) -> Iterator[str]:
    return (text for _ in count())
