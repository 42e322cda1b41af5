"""The difference of two policy sets in reachability: who comes to reach whom, on which ports, and who no longer does.

Both sets are asked by the book about the same parties, one of each class that the rules of either can tell apart, and
about one of each kind of traffic. Where the rules that select a workload are the same in both, nothing about it can
have changed, so only subjects of changed rules are looked at, and of their peers one for each way in which these rules
mean them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from ringfence.abi import Direction
from ringfence.identity.ipcache import UNKNOWN_ADDRESS, Known
from ringfence.identity.prefixes import Address, Network, host_network
from ringfence.policy.builtin import Settings
from ringfence.policy.classes import Span, longest, witness
from ringfence.policy.evaluate import Oracle, peer_meant
from ringfence.policy.naming import outside_name, workload_name
from ringfence.policy.parse import Parsed
from ringfence.policy.parties import Placed, entities, place, selectors
from ringfence.policy.ports import ALWAYS, EVERYTHING, OTHERS, kinds_of_traffic, segments, together
from ringfence.policy.rule import BUILT_IN, Policy, Rule
from ringfence.policy.service_set import ServiceSet
from ringfence.policy.verify import carries, spans_of
from ringfence.policy.world import DEFAULT_SETTINGS, World, build_world
from ringfence.traffic import Traffic
from ringfence.verdict import Judgement, RuleText

Named = TypeVar("Named")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """Parties that no rule of either set tells apart: workloads by their labels, others by name or prefix.

    `labels` are texts as flows have them, empty for what is known by its prefix alone; `ports` those that it has names
    for and rules call by name, as `http=8080/TCP`.
    """

    name: str
    labels: tuple[str, ...] = ()
    prefix: str = ""
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Some groups come to reach some others on some ports, or no longer do; `rule` is the one that decides now."""

    opened: bool
    sources: tuple[Group, ...]
    destinations: tuple[Group, ...]
    ports: tuple[Span, ...]
    rule: RuleText | None


def difference(
    old: Parsed, new: Parsed, settings: Settings = DEFAULT_SETTINGS, progress: Progress | None = None
) -> list[Change]:
    """All changes, what opens before what closes. Workloads are those of both; one that both have is as in `new`."""
    worlds = _worlds(old, new, settings)
    return _grouped(_Comparison(*worlds).changes(progress or (lambda _done, _of: None)))


def _worlds(old: Parsed, new: Parsed, settings: Settings) -> tuple[World, World]:
    """Both policy sets over the same parties, also those that only a selector speaks of."""
    namespaces = union(old.namespaces, new.namespaces, lambda each: each.name)
    pods = union(old.pods, new.pods, lambda each: each.path)
    nodes = union(old.nodes, new.nodes, lambda each: each.name)
    both = [replace(each, namespaces=namespaces, pods=pods, nodes=nodes) for each in (old, new)]
    plain = [build_world(parsed, entities(), settings) for parsed in both]
    known = {actor.labels for actor in plain[0].everyone()}
    asked = dict.fromkeys(each for world in plain for each in selectors(world))
    unknown = [each for each in asked if not any(each.matches(labels) for labels in known)]
    made_up = list(filter(None, map(witness, unknown)))
    before, after = (build_world(parsed, [*entities(), *made_up], settings) for parsed in both)
    return before, after


def union(old: Iterable[Named], new: Iterable[Named], key: Callable[[Named], str]) -> tuple[Named, ...]:
    """All, the new in the place of the old with the same name, in the order of their names: what is made up for them is
    then the same in both worlds.
    """
    found = {key(each): each for each in (*old, *new)}
    return tuple(found[name] for name in sorted(found))


class _Nowhere:
    """An ipcache that knows nothing: classes are then those of the rules alone."""

    def items(self) -> Iterable[tuple[Network, Known]]:
        return ()

    def lookup(self, address: Address) -> Known:  # noqa: ARG002 - of none
        return UNKNOWN_ADDRESS


class _Comparison:
    def __init__(self, before: World, after: World) -> None:
        self._oracles = Oracle(before), Oracle(after)
        # The rules as each set has them in force: groups and services of the one mean nothing to rules of the other.
        rules = tuple(rule for oracle in self._oracles for rule in oracle.rules)
        self._prefixes = {prefix for rule in rules for prefix in rule.prefixes}
        both = Policy("", "", "", rules, BUILT_IN)
        self._placed = place(replace(after, policies=(both,), services=ServiceSet()), _Nowhere())
        self._of_family = {v: [each for each in self._placed if each.address.version == v] for v in (4, 6)}
        self._as_peers = {v: [each.as_peer for each in found] for v, found in self._of_family.items()}
        self._addresses = {v: [each.address for each in found] for v, found in self._of_family.items()}
        self._meant: dict[tuple[Hashable, int], list[tuple[int, ...]]] = {}

    def changes(self, progress: Progress) -> Iterator[_PairChange]:
        """Every change of a pair of groups; of both families once where it is the same."""
        seen: set[_PairChange] = set()
        judged = (any(oracle.judges_somewhere(each.actor) for oracle in self._oracles) for each in self._placed)
        subjects = [each for each, wanted in zip(self._placed, judged, strict=True) if wanted]
        for done, subject in enumerate(subjects):
            progress(done, len(subjects))
            for direction in Direction:
                for change in self._of_subject(direction, subject):
                    if change not in seen:
                        seen.add(change)
                        yield change
        progress(len(subjects), len(subjects))

    def _of_subject(self, direction: Direction, subject: Placed) -> Iterator[_PairChange]:
        old, new = (oracle.selecting(direction, subject.as_subject) for oracle in self._oracles)
        if set(map(_said, old)) == set(map(_said, new)):
            return
        rules = [*old, *new]
        version = subject.address.version
        asked = {rule.peers: rule for rule in rules}.values()
        peers: dict[Hashable, list[Placed]] = defaultdict(list)
        for peer, *ways in zip(self._of_family[version], *(self._ways(rule, version) for rule in asked), strict=True):
            peers[tuple(ways), peer.ports].append(peer)
        for group in peers.values():
            if self._differs(direction, subject, group[0], rules):
                for peer in group:
                    ends = (subject, peer) if direction is Direction.EGRESS else (peer, subject)
                    yield from self._of_pair(*ends)

    def _ways(self, rule: Rule, version: int) -> list[tuple[int, ...]]:
        """The ways in which a rule means each party of a family."""
        key = rule.peers, version
        if key not in self._meant:
            self._meant[key] = [
                tuple(peer_meant(rule, peer, address))
                for peer, address in zip(self._as_peers[version], self._addresses[version], strict=True)
            ]
        return self._meant[key]

    def _differs(self, direction: Direction, subject: Placed, peer: Placed, rules: list[Rule]) -> bool:
        ends = (subject, peer) if direction is Direction.EGRESS else (peer, subject)
        actors = ends[0].as_subject, ends[1].as_subject
        for traffic in kinds_of_traffic(rules, ends[1]):
            if carries(subject.address.version, traffic):
                verdicts = {oracle.decide(direction, *actors, traffic).verdict for oracle in self._oracles}
                if len(verdicts) > 1:
                    return True
        return False

    def _of_pair(self, source: Placed, destination: Placed) -> Iterator[_PairChange]:
        """What changes from end to end, segments of ports that change alike together."""
        ends = source.as_subject, destination.as_subject
        rules = [
            rule
            for oracle in self._oracles
            for direction, end in zip((Direction.EGRESS, Direction.INGRESS), ends, strict=True)
            if oracle.judges_somewhere(end)
            for rule in oracle.selecting(direction, end)
        ]
        found: dict[tuple[bool, RuleText | None], list[Span]] = defaultdict(list)
        named = {span.protocol for span in (*ALWAYS, *spans_of(rules, destination))}
        asked = 0
        for span in segments(kinds_of_traffic(rules, destination)):
            traffic = Traffic(span.protocol, span.first)
            if not carries(source.address.version, traffic):
                continue
            asked += 1
            old, new = (oracle.judge(*ends, traffic) for oracle in self._oracles)
            if old.allowed != new.allowed:
                whose = span if span.protocol in named else span._replace(protocol=OTHERS)
                found[new.allowed, _responsible(old, new)].append(whose)
        groups = self._group(source), self._group(destination)
        for (opened, rule), spans in found.items():
            ports = (EVERYTHING,) if len(spans) == asked else together(spans)
            yield _PairChange(opened, *groups, ports, rule)

    def _group(self, placed: Placed) -> Group:
        actor = placed.actor
        if actor.outside:
            prefix = longest(host_network(placed.address), self._prefixes)
            return Group(outside_name(prefix, self._prefixes), prefix=str(prefix or ""))
        labels = tuple(actor.labels.texts())
        ports = tuple(sorted(f"{port.name}={port.port}/{port.protocol}" for port in placed.ports))
        name = workload_name(actor.labels) if actor.local else f"reserved:{actor.name}"
        return Group(f"{name} ({', '.join(ports)})" if ports else name, labels, ports=ports)


@dataclass(frozen=True, slots=True)
class _PairChange:
    opened: bool
    source: Group
    destination: Group
    ports: tuple[Span, ...]
    rule: RuleText | None


def _said(rule: Rule) -> Rule:
    """What a rule says, whoever says it and wherever it stands."""
    return replace(rule, policy="", index=0, origin=BUILT_IN)


def _responsible(old: Judgement, new: Judgement) -> RuleText | None:
    """The rule that denies now; of two that allow now, the one whose direction denied before."""
    if not new.allowed:
        return new.decisions[-1].rule
    denied = old.decisions[-1].direction
    return next((each.rule for each in new.decisions if each.direction is denied), None)


def _in_order(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Workloads first."""
    return tuple(sorted(groups, key=lambda each: ("/" not in each.name or bool(each.prefix), each)))


def _grouped(changes: Iterable[_PairChange]) -> list[Change]:
    """Pairs of the same ports and rule as few changes of many to many."""
    alike: dict[tuple[bool, tuple[Span, ...], RuleText | None], dict[Group, set[Group]]] = {}
    for each in changes:
        alike.setdefault((each.opened, each.ports, each.rule), {}).setdefault(each.source, set()).add(each.destination)
    found = []
    for (opened, ports, rule), reached in alike.items():
        by_destinations: dict[frozenset[Group], list[Group]] = {}
        for source, destinations in reached.items():
            by_destinations.setdefault(frozenset(destinations), []).append(source)
        for common, sources in by_destinations.items():
            found.append(Change(opened, _in_order(sources), _in_order(common), ports, rule))
    return sorted(found, key=lambda each: (not each.opened, each.sources, each.destinations, each.ports))
