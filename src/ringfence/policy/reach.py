"""Reachability: groups of parties that policies cannot tell apart, and the ports on which each reaches each.

A path is what gets through both directions, the sender's egress and the receiver's ingress, in either family. All is
asked of the oracle, once for each way in which the rules that select a subject mean a peer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from ringfence.abi import Direction, Verdict
from ringfence.identity.prefixes import Network, host_network
from ringfence.identity.reserved import Reserved
from ringfence.labels import Labels
from ringfence.policy.builtin import Settings
from ringfence.policy.classes import Span, longest, regions
from ringfence.policy.evaluate import Oracle, peer_meant
from ringfence.policy.learning.groups import lasting
from ringfence.policy.naming import WORLD, outside_name, workload_name
from ringfence.policy.parse import Parsed
from ringfence.policy.parties import complete_world, selectors
from ringfence.policy.ports import ALWAYS, EVERYTHING, OTHERS, common, kinds_of_traffic, segments, span_text, together
from ringfence.policy.rule import Peers, Rule
from ringfence.policy.verify import carries, spans_of
from ringfence.policy.world import DEFAULT_SETTINGS, Actor, World, outside_labels
from ringfence.traffic import LAST_PORT, Protocol, Traffic

#: Told how many of how many groups are asked about.
Progress = Callable[[int, int], None]
#: Shown although no rule names it: every workload has a node.
_HOST: Final = "host"


@dataclass(frozen=True, slots=True)
class Node:
    """A group. `kind` is workload, entity, or outside; `workloads` are its members, none where only a selector speaks
    of it. `isolated` are the directions in which it has a default deny; entities and the outside have none.
    """

    name: str
    kind: str
    namespace: str = ""
    workloads: tuple[str, ...] = ()
    isolated: frozenset[Direction] = frozenset()

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "namespace": self.namespace or None,
            "workloads": list(self.workloads),
            "isolated": [each.name.lower() for each in Direction if each in self.isolated],
        }


@dataclass(frozen=True, slots=True)
class Reached:
    """A path from a group to a group, by their places among the nodes. `by_default`: everything gets through, and
    neither end is isolated in this direction, so no rule had to allow it.
    """

    source: int
    destination: int
    ports: tuple[Span, ...]
    by_default: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """Groups and paths; `asked` are the pairs of places that were asked about, those with no path among them."""

    nodes: tuple[Node, ...]
    paths: tuple[Reached, ...]
    asked: frozenset[tuple[int, int]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "nodes": [each.to_dict() for each in self.nodes],
            "paths": [
                {
                    "source": self.nodes[each.source].name,
                    "destination": self.nodes[each.destination].name,
                    "ports": [span_text(span) for span in each.ports],
                    "by_default": each.by_default,
                }
                for each in self.paths
            ],
        }


def _told_apart(nodes: Sequence[Node]) -> list[Node]:
    """Groups with the labels that their members share in common, and by others not the same, are named by a member."""
    names = Counter(each.name for each in nodes)
    return [
        replace(each, name=f"{each.name} ({each.workloads[0]})") if names[each.name] > 1 and each.workloads else each
        for each in nodes
    ]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which part is asked about: pairs with an end in one of the namespaces, from and to groups by patterns.

    A pattern is a group's or a workload's name, with * for anything. What is empty narrows nothing.
    """

    namespaces: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()

    def wants(self, source: Node, destination: Node) -> bool:
        """Whether a pair is asked about."""
        there = not self.namespaces or {source.namespace, destination.namespace} & set(self.namespaces)
        return bool(there) and _matches(source, self.sources) and _matches(destination, self.destinations)


def _matches(node: Node, patterns: Sequence[str]) -> bool:
    names = (node.name, *node.workloads)
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


EVERYONE: Final = Narrowing()


def reach(
    parsed: Parsed,
    settings: Settings = DEFAULT_SETTINGS,
    narrowing: Narrowing = EVERYONE,
    progress: Progress | None = None,
) -> Reach:
    """Who reaches whom by the policies of some documents."""
    return _Asking(complete_world(parsed, settings)).run(narrowing, progress or (lambda _done, _of: None))


class _Asking:
    def __init__(self, world: World) -> None:
        self._oracle = Oracle(world)
        rules = self._oracle.rules
        self._selectors = selectors(world)
        self._prefixes: set[Network] = {prefix for rule in rules for prefix in rule.prefixes}
        self._port_names = {port.name for rule in rules for port in rule.named_ports}
        self._made_up = {actor.name for party, actor in world.parties.items() if party.labels is not None}
        self._matched: dict[Labels, frozenset[int]] = {}
        self._meant: dict[tuple[Peers, int, int], tuple[int, ...]] = {}
        self._allowed: dict[Hashable, tuple[Span, ...]] = {}
        self._ends: list[Actor] = []
        self.nodes: list[Node] = []
        self._gather(world)

    def run(self, narrowing: Narrowing, progress: Progress) -> Reach:
        paths: list[Reached] = []
        asked: set[tuple[int, int]] = set()
        for at, source in enumerate(self.nodes):
            progress(at, len(self.nodes))
            for to, destination in enumerate(self.nodes):
                ends = self._ends[at], self._ends[to]
                judged = self._oracle.judges(*ends) or self._oracle.judges(*ends[::-1])
                alone = at == to and len(source.workloads) < 2
                if alone or not judged or not narrowing.wants(source, destination):
                    continue
                asked.add((at, to))
                found = self._path(at, to)
                paths += [found] if found.ports else []
        progress(len(self.nodes), len(self.nodes))
        return _without_the_unasked(Reach(tuple(self.nodes), tuple(paths), frozenset(asked)))

    def _gather(self, world: World) -> None:
        """The groups: workloads and entities that no rule tells apart, each namespace's own, and the outside."""
        found: dict[Hashable, list[Actor]] = {}
        plain = self._matches(outside_labels([]))
        for actor in world.everyone():
            if actor.outside or actor.reserved is Reserved.INIT:
                continue
            if not (actor.local or actor.name == _HOST or self._matches(actor.labels) != plain):
                continue
            around = tuple((each.version, longest(host_network(each), self._prefixes)) for each in actor.addresses)
            ports = frozenset(each for each in actor.ports if each.name in self._port_names)
            key = actor.local, actor.labels.namespace, self._matches(actor.labels), ports, around, actor.addressed
            found.setdefault(key, []).append(actor)
        for actors in found.values():
            self._add(actors[0], self._node(actors))
        outside: dict[Network | None, list[Actor]] = {}
        for region in regions(self._prefixes):
            prefix = region.prefix if region.prefix.prefixlen and region.prefix in self._prefixes else None
            there = Actor(WORLD, outside_labels([region.address]), (region.address,), outside=True)
            outside.setdefault(prefix, []).append(there)
        for prefix, actors in outside.items():
            addresses = tuple(address for each in actors for address in each.addresses)
            whole = Actor(WORLD, outside_labels(addresses), addresses, outside=True)
            self._add(whole, Node(outside_name(prefix, self._prefixes), "outside"))
        order = sorted(range(len(self.nodes)), key=lambda at: (_KINDS.index(self.nodes[at].kind), self.nodes[at].name))
        self.nodes, self._ends = _told_apart([self.nodes[at] for at in order]), [self._ends[at] for at in order]

    def _add(self, end: Actor, node: Node) -> None:
        self._ends.append(end)
        self.nodes.append(node)

    def _matches(self, labels: Labels) -> frozenset[int]:
        if labels not in self._matched:
            found = frozenset(at for at, each in enumerate(self._selectors) if each.matches(labels))
            self._matched[labels] = found
        return self._matched[labels]

    def _node(self, actors: Sequence[Actor]) -> Node:
        first = actors[0]
        isolated = self._isolated(first) if self._oracle.judges_somewhere(first) else frozenset()
        if not first.local:
            return Node(", ".join(sorted({each.name for each in actors})), "entity", isolated=isolated)
        members = tuple(sorted(each.name for each in actors if each.name not in self._made_up))
        shared = Labels(label for label in first.labels if all(label in each.labels for each in actors))
        name = workload_name(shared, lasting) if first.labels.namespace else first.name
        return Node(name, "workload", first.labels.namespace or "", members, isolated)

    def _isolated(self, actor: Actor) -> frozenset[Direction]:
        """In which directions only what a rule allows passes."""
        selecting = {each: self._oracle.selecting(each, actor) for each in Direction}
        return frozenset(each for each, rules in selecting.items() if any(rule.default_deny for rule in rules))

    def _path(self, at: int, to: int) -> Reached:
        found: list[Span] = []
        universe: list[Span] = []
        for version in (4, 6):
            if self._ends[at].address(version) is None or self._ends[to].address(version) is None:
                continue
            universe += _universe(version)
            egress = self._side(Direction.EGRESS, at, to, version)
            found += _common(egress, self._side(Direction.INGRESS, to, at, version))
        ports = together(found)
        isolated = Direction.EGRESS in self.nodes[at].isolated or Direction.INGRESS in self.nodes[to].isolated
        everything = bool(ports) and ports == together(universe)
        return Reached(at, to, (EVERYTHING,) if everything else ports, everything and not isolated)

    def _side(self, direction: Direction, subject: int, peer: int, version: int) -> tuple[Span, ...]:
        """The ports that one direction lets through."""
        if not self._oracle.judges(self._ends[subject], self._ends[peer]):
            return _universe(version)
        rules = self._oracle.selecting(direction, self._ends[subject])
        ways = tuple(self._ways(rule, peer, version) for rule in rules)
        ports = self._ends[peer].ports if direction is Direction.EGRESS else ()
        key = direction, subject, version, ways, ports
        if key not in self._allowed:
            self._allowed[key] = tuple(self._ask(direction, rules, subject, peer, version))
        return self._allowed[key]

    def _ways(self, rule: Rule, peer: int, version: int) -> tuple[int, ...]:
        key = rule.peers, peer, version
        if key not in self._meant:
            actor = _of_family(self._ends[peer], version)
            self._meant[key] = tuple(peer_meant(rule, actor, actor.addresses[0]))
        return self._meant[key]

    def _ask(
        self, direction: Direction, rules: Iterable[Rule], subject: int, peer: int, version: int
    ) -> Iterator[Span]:
        ends = [_of_family(self._ends[each], version) for each in (subject, peer)]
        source, destination = ends if direction is Direction.EGRESS else ends[::-1]
        named = {span.protocol for span in (*ALWAYS, *spans_of(rules, destination))}
        found = []
        for span in segments(kinds_of_traffic(rules, destination)):
            traffic = Traffic(span.protocol, span.first)
            if not carries(version, traffic):
                continue
            if self._oracle.decide(direction, source, destination, traffic).verdict is Verdict.ALLOW:
                found.append(span if span.protocol in named else span._replace(protocol=OTHERS))
        yield from together(found)


_KINDS: Final = ("workload", "entity", "outside")


@lru_cache(maxsize=4096)
def _common(one: tuple[Span, ...], other: tuple[Span, ...]) -> tuple[Span, ...]:
    return common(one, other)


@lru_cache(maxsize=2)
def _universe(version: int) -> tuple[Span, ...]:
    """All that a family carries."""
    left_out = Protocol.ICMPV6 if version == 4 else Protocol.ICMP
    return together([*(each for each in ALWAYS if each.protocol != left_out), Span(OTHERS, 0, LAST_PORT)])


def _of_family(actor: Actor, version: int) -> Actor:
    return replace(actor, addresses=tuple(each for each in actor.addresses if each.version == version)[:1])


def _without_the_unasked(found: Reach) -> Reach:
    """Nodes that a narrowing leaves no pair of are left out."""
    wanted = sorted({at for pair in found.asked for at in pair})
    place = {at: number for number, at in enumerate(wanted)}
    paths = (replace(each, source=place[each.source], destination=place[each.destination]) for each in found.paths)
    asked = frozenset((place[source], place[destination]) for source, destination in found.asked)
    return Reach(tuple(found.nodes[at] for at in wanted), tuple(paths), asked)
