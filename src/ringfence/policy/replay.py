"""Replay: connections of the past judged by a proposed policy set, and what would have gone otherwise.

Millions of flows are few connections: of each is kept how often and when it was seen and what was decided then. Judged
is one of each class that the rules can tell apart, labels, named ports and the prefixes around an address. Every
workload is judged wherever it ran, its egress and the other's ingress, although a host records its own side alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from ringfence.abi import Direction
from ringfence.identity.prefixes import host_network
from ringfence.identity.reserved import Reserved
from ringfence.policy.builtin import Settings
from ringfence.policy.classes import longest
from ringfence.policy.evaluate import Oracle
from ringfence.policy.learning.groups import lasting
from ringfence.policy.learning.seen import Connection, End, EndKind
from ringfence.policy.manifest import ContainerPort
from ringfence.policy.naming import outside_name, workload_name
from ringfence.policy.parse import Parsed
from ringfence.policy.world import DEFAULT_SETTINGS, Actor, World, build_world
from ringfence.verdict import Judgement, RuleText

#: Told how many of how many connections are judged.
Progress = Callable[[int, int], None]
#: Why a flow is not judged, beside what a recording passes over.
UNKNOWN_END: Final = "of an end that neither the recording nor the manifests tell the labels of"
NO_FAMILY: Final = "of a kind that addresses like these do not carry"


class Said(NamedTuple):
    """A rule as a recording, or a policy set, tells of it: uid of its policy, text, and file:line or nothing."""

    policy: str
    text: str
    origin: str

    @classmethod
    def of(cls, rule: RuleText) -> Said:
        return cls(rule.policy, rule.text, rule.origin)

    def to_dict(self) -> dict[str, str]:
        return self._asdict()


class Then(NamedTuple):
    """What was decided then. `denied` is the direction that denied, if one did; `judged` are the directions that the
    recording tells of. A rule is None where nothing is known of it.
    """

    denied: Direction | None
    judged: frozenset[Direction]
    egress: Said | None = None
    ingress: Said | None = None

    def rule(self, direction: Direction) -> Said | None:
        return self.egress if direction is Direction.EGRESS else self.ingress


class Past(NamedTuple):
    """One recorded flow: `time` in RFC 3339 (UTC) or empty. Without a connection `passed_over` says why."""

    connection: Connection | None
    then: Then
    time: str
    passed_over: str = ""


@dataclass(frozen=True, slots=True)
class Alteration:
    """Flows of one port between two groups that would have been decided otherwise, all in the same way.

    `was` and `would` are `allowed`, `denied at egress` or `denied at ingress`; `was` is `allowed at egress` (ingress)
    where only that direction was recorded. `first` and `last` are times in RFC 3339, or empty. `sources` and
    `destinations` are the workloads, or addresses, that took part.
    """

    opened: bool
    source: str
    destination: str
    port: str
    was: str
    would: str
    flows: int
    first: str
    last: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    old_rules: tuple[Said, ...]
    new_rules: tuple[Said, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "change": "opens" if self.opened else "closes",
            "source": self.source,
            "destination": self.destination,
            "port": self.port,
            "was": self.was,
            "would_be": self.would,
            "flows": self.flows,
            "first": self.first or None,
            "last": self.last or None,
            "sources": list(self.sources),
            "destinations": list(self.destinations),
            "old_rules": [each.to_dict() for each in self.old_rules],
            "new_rules": [each.to_dict() for each in self.new_rules],
        }


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay. Flows are counted: `judged`, of which some are in `changes`; `passed_over`, by the reason;
    `strangers`, judged by the labels that they were recorded with, by the workload that no manifest of the set knows;
    `nameless`, not judged (they are among `passed_over` too), by the end that nothing tells the labels of.
    """

    changes: tuple[Alteration, ...]
    judged: int
    connections: int
    passed_over: Mapping[str, int]
    strangers: Mapping[str, int]
    nameless: Mapping[str, int]

    @property
    def opened(self) -> int:
        """How many flows were denied and would be allowed."""
        return sum(each.flows for each in self.changes if each.opened)

    @property
    def closed(self) -> int:
        """How many flows were allowed and would be denied."""
        return sum(each.flows for each in self.changes if not each.opened)

    def to_dict(self) -> dict[str, Any]:
        return {
            "changes": [each.to_dict() for each in self.changes],
            "flows": {"judged": self.judged, "opened": self.opened, "closed": self.closed},
            "connections": self.connections,
            "passed_over": dict(self.passed_over),
            "not_in_manifests": dict(self.strangers),
            "not_judged": dict(self.nameless),
        }


@dataclass(slots=True)
class Tally:
    """How many flows, and the first and the last time of one, without the Z."""

    flows: int
    first: str
    last: str

    def add(self, flows: int, first: str, last: str) -> None:
        self.flows += flows
        self.first = min(self.first, first) if self.first and first else self.first or first
        self.last = max(self.last, last)


@dataclass(slots=True)
class _Sum:
    """What is gathered for one alteration. Dicts in place of sets: the order is that of the recording."""

    tally: Tally
    sources: dict[str, None] = field(default_factory=dict)
    destinations: dict[str, None] = field(default_factory=dict)
    old_rules: dict[Said, None] = field(default_factory=dict)
    new_rules: dict[Said, None] = field(default_factory=dict)


class History:
    """The distinct connections of many flows, with what was decided of each."""

    def __init__(self, flows: Iterable[Past] = ()) -> None:
        self.passed_over: dict[str, int] = {}
        self._seen: dict[tuple[Connection, Then], Tally] = {}
        for each in flows:
            self.add(each)

    def add(self, past: Past, flows: int = 1, last: str = "") -> None:
        """Count a flow, or several alike from `past.time` to `last`."""
        connection = past.connection
        if connection is None:
            self.passed_over[past.passed_over] = self.passed_over.get(past.passed_over, 0) + flows
            return
        # Times of UTC compare as texts once the Z is gone, however many digits the seconds have.
        first = past.time.rstrip("Z")
        tally = self._seen.get((connection, past.then))
        if tally is None:
            self._seen[connection, past.then] = Tally(flows, first, last.rstrip("Z") or first)
        else:
            tally.add(flows, first, last.rstrip("Z") or first)

    def __len__(self) -> int:
        return len(self._seen)

    def __iter__(self) -> Iterator[tuple[Connection, Then, Tally]]:
        return ((*key, tally) for key, tally in self._seen.items())


def replay(
    history: History,
    new: Parsed,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    old: Parsed | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Judge a history by the policies of `new`. With `old` its verdicts are put in the place of the recorded ones.

    Workloads that the manifests of `new` know have the named ports that stand there.
    """
    return _Replay(build_world(new, (), settings), build_world(old, (), settings) if old else None).run(
        history, progress or (lambda _done, _of: None)
    )


class _Replay:
    def __init__(self, new: World, old: World | None) -> None:
        self._new = Oracle(new)
        self._old = Oracle(old) if old else None
        rules = [*self._new.rules, *(self._old.rules if self._old else ())]
        self._prefixes = {prefix for rule in rules for prefix in rule.prefixes}
        self._manifests = new.actors
        self._cidr_means_nodes = new.settings.policy_cidr_match_mode == "nodes"
        self._alike: dict[tuple[str, ...], Actor] = {}
        for actor in new.actors.values():
            self._alike.setdefault(tuple(actor.labels.texts()), actor)
        self._classes: dict[End, tuple[Hashable, Actor]] = {}
        self._actors: dict[Hashable, Actor] = {}
        self._names: dict[End, str] = {}
        self._judged: dict[Hashable, tuple[Judgement, Judgement | None] | None] = {}
        self._sums: dict[tuple[bool, str, str, str, str, str], _Sum] = {}
        self._strangers: dict[str, int] = {}
        self._nameless: dict[str, int] = {}

    def run(self, history: History, progress: Progress) -> Replayed:
        passed_over = dict(history.passed_over)
        connections: set[Connection] = set()
        judged = 0
        for done, (connection, then, tally) in enumerate(history):
            if not done % 1000:
                progress(done, len(history))
            why = self._replay(connection, then, tally)
            if why:
                passed_over[why] = passed_over.get(why, 0) + tally.flows
            else:
                judged += tally.flows
                connections.add(connection)
        progress(len(history), len(history))
        return Replayed(_in_order(self._sums), judged, len(connections), passed_over, self._strangers, self._nameless)

    def _replay(self, connection: Connection, then: Then, tally: Tally) -> str:
        """Judge and count a connection. Why it is not judged, or nothing."""
        ends = connection.source, connection.destination
        nameless = [end.name for end in ends if not end.labels]
        if nameless:
            _count(self._nameless, nameless, tally.flows)
            return UNKNOWN_END
        found = self._judge(connection)
        if found is None:
            return NO_FAMILY
        _count(self._strangers, [end.name for end in ends if self._is_stranger(end)], tally.flows)
        new, old = found
        if old is not None:
            then = _then(old)
        if new.allowed is not (then.denied is None):
            self._add(connection, then, new, tally)
        return ""

    def _judge(self, connection: Connection) -> tuple[Judgement, Judgement | None] | None:
        """The judgements by the new rules and, if they are given, by the old ones; once for a class."""
        (source, as_source), (destination, as_destination) = map(self._class_of, connection[:2])
        key = source, destination, connection.traffic
        if key not in self._judged:
            packet = as_source, as_destination, connection.traffic
            try:
                self._judged[key] = self._new.judge(*packet), self._old.judge(*packet) if self._old else None
            except ValueError:
                self._judged[key] = None
        return self._judged[key]

    def _class_of(self, end: End) -> tuple[Hashable, Actor]:
        if end not in self._classes:
            known = self._known(end)
            ports = known.ports if known else ()
            labels = end.labels if end.kind is not EndKind.WORLD else None
            around = longest(host_network(end.address), self._prefixes)
            key = end.kind, labels, ports, end.address.version, around
            self._classes[end] = key, self._actors.setdefault(key, self._actor(end, ports))
        return self._classes[end]

    def _actor(self, end: End, ports: tuple[ContainerPort, ...]) -> Actor:
        """The end as the world would have it: one without labels of its own yet is judged, too, and isolated."""
        nodes = self._cidr_means_nodes and end.entity in {"host", "remote-node"}
        return replace(end.actor, ports=ports, local=_is_judged(end), addressed=nodes)

    def _known(self, end: End) -> Actor | None:
        """The workload of the manifests that an end is: by its name, else by its labels."""
        return self._manifests.get(end.name) or self._alike.get(tuple(end.labels.texts()))

    def _is_stranger(self, end: End) -> bool:
        return end.kind is EndKind.WORKLOAD and self._known(end) is None

    def _add(self, connection: Connection, then: Then, new: Judgement, tally: Tally) -> None:
        was, would = _was(connection, then), _would(new)
        source, destination = self._name(connection.source), self._name(connection.destination)
        key = new.allowed, source, destination, str(connection.traffic), was, would
        found = self._sums.setdefault(key, _Sum(Tally(0, "", "")))
        found.tally.add(tally.flows, tally.first, tally.last)
        found.sources[connection.source.name] = None
        found.destinations[connection.destination.name] = None
        found.old_rules |= dict.fromkeys(_old_rules(then, new))
        found.new_rules |= dict.fromkeys(_new_rules(then, new))

    def _name(self, end: End) -> str:
        if end not in self._names:
            self._names[end] = self._named(end)
        return self._names[end]

    def _named(self, end: End) -> str:
        if end.kind is EndKind.WORKLOAD:
            return workload_name(end.labels, lasting)
        if end.kind is EndKind.ENTITY:
            return f"reserved:{end.entity}" if end.entity else end.name
        return outside_name(longest(host_network(end.address), self._prefixes), self._prefixes)


def _is_judged(end: End) -> bool:
    return end.kind is EndKind.WORKLOAD or end.entity == Reserved.INIT.label.key


def _then(judgement: Judgement) -> Then:
    """A judgement as if it had been recorded."""
    denied = None if judgement.allowed else judgement.decisions[-1].direction
    told = {each.direction: Said.of(each.rule) for each in judgement.decisions}
    return Then(denied, frozenset(told), told.get(Direction.EGRESS), told.get(Direction.INGRESS))


def _was(connection: Connection, then: Then) -> str:
    if then.denied is not None:
        return f"denied at {then.denied.name.lower()}"
    sides = {Direction.EGRESS: connection.source, Direction.INGRESS: connection.destination}
    open_ = [side for side, end in sides.items() if _is_judged(end) and side not in then.judged]
    if not open_ or not then.judged:
        return "allowed"
    return f"allowed at {next(iter(then.judged)).name.lower()}"


def _would(judgement: Judgement) -> str:
    return "allowed" if judgement.allowed else f"denied at {judgement.decisions[-1].direction.name.lower()}"


def _old_rules(then: Then, new: Judgement) -> Iterator[Said]:
    """The rule that denied; of what was allowed the rule of the direction that would deny, if it was recorded."""
    direction = then.denied if then.denied is not None else new.decisions[-1].direction
    rule = then.rule(direction)
    if rule is not None:
        yield rule


def _new_rules(then: Then, new: Judgement) -> Iterator[Said]:
    """The rule that would deny; of what would be allowed the rule of the direction that denied, else of both."""
    if not new.allowed:
        yield Said.of(new.decisions[-1].rule)
        return
    found = [each.rule for each in new.decisions if each.direction is then.denied]
    yield from map(Said.of, found or [each.rule for each in new.decisions])


def _count(counts: dict[str, int], names: Iterable[str], flows: int) -> None:
    for name in dict.fromkeys(names):
        counts[name] = counts.get(name, 0) + flows


def _in_order(sums: Mapping[tuple[bool, str, str, str, str, str], _Sum]) -> tuple[Alteration, ...]:
    """What would be denied first, for that is what hurts; what was seen most often before the rest."""
    found = [
        Alteration(
            *key,
            each.tally.flows,
            _time(each.tally.first),
            _time(each.tally.last),
            tuple(sorted(each.sources)),
            tuple(sorted(each.destinations)),
            tuple(each.old_rules),
            tuple(each.new_rules),
        )
        for key, each in sums.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.opened, -each.flows, each.source, each.destination, each.port)))


def _time(text: str) -> str:
    return f"{text}Z" if text else ""
