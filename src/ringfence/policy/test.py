"""Tests of policies: cases judged by one of several judges that must all agree.

The oracle reads the rules by the book; the map judge looks the compiled entries up as the datapath does; a third, the
real program in the kernel, is brought in from outside. A case of `any/PROTOCOL` stands for every port that the policies
can tell apart, and holds only if it holds for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ringfence.abi import Direction, Verdict
from ringfence.errors import BadInput, Problem
from ringfence.identity.prefixes import Address, Network, host_network, inside
from ringfence.identity.reserved import Reserved
from ringfence.policy.builtin import LINK_LOCAL, Settings
from ringfence.policy.case import Case, Party
from ringfence.policy.evaluate import Oracle, addresses
from ringfence.policy.explanation.explain import Explainer, Question
from ringfence.policy.lookup import Lookup
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.parse import Parsed
from ringfence.policy.repository import is_called
from ringfence.policy.state import PolicyState
from ringfence.policy.world import DEFAULT_SETTINGS, Actor, World, build_world
from ringfence.traffic import Traffic, last_port
from ringfence.verdict import UNJUDGED, Judgement, RuleText

_PORTLESS = frozenset({1, 58})


class WorldPeer(NamedTuple):
    """What the ipcache says of a prefix of a world. `pod` is the name of the local actor that owns it, if one does."""

    identity: int
    prefix_class: int
    pod: str | None


@dataclass(frozen=True)
class CompiledWorld:
    """All that the kernel would hold of a world in which every workload lives on this host."""

    world: World
    state: PolicyState
    identities: Mapping[str, int]
    ipcache: Mapping[Network, WorldPeer]

    @property
    def entries(self) -> dict[PolicyKey, RuleText]:
        """Every policy entry with the rule that it names."""
        return dict(self.state.map.items())


class Judge(Protocol):
    """Gives the verdict on packets of one world."""

    @property
    def name(self) -> str: ...

    def judge(self, source: Actor, destination: Actor, traffic: Traffic) -> Judgement: ...


JudgeFactory = Callable[[CompiledWorld], Judge]


def compile_world(world: World) -> CompiledWorld:
    """Compile a world's policies for all of its actors."""
    state = PolicyState(world.settings)
    for each in world.services.objects:
        state.services.put(each)
    state.apply(world.policies)
    owners: dict[Network, str] = {}
    identities: dict[str, int] = {}
    for actor in world.everyone():
        if actor.name in identities:
            continue
        if actor.local:
            identities[actor.name] = state.add_endpoint(actor.labels, actor.addresses)
            owners.update((host_network(address), actor.name) for address in actor.addresses)
        elif actor.reserved is not None:
            _place_reserved(state, actor, actor.reserved)
    nodes = {kind: _addresses(world, kind) for kind in (Reserved.HOST, Reserved.REMOTE_NODE)}
    state.set_nodes(nodes[Reserved.HOST], nodes[Reserved.REMOTE_NODE])
    ipcache = {
        network: WorldPeer(known.identity, known.prefix_class, owners.get(network))
        for network, known in state.ipcache.items()
    }
    return CompiledWorld(world, state, identities, ipcache)


class MapJudge:
    """Judges by the compiled entries, under the datapath's rule of look-up."""

    name = "map"

    def __init__(self, compiled: CompiledWorld) -> None:
        self._state = compiled.state
        self._lookup = Lookup(compiled.state.map)

    def judge(self, source: Actor, destination: Actor, traffic: Traffic) -> Judgement:
        from_address, to_address = addresses(source, destination, traffic)
        sender, receiver = self._state.ipcache.lookup(from_address), self._state.ipcache.lookup(to_address)
        egress = ingress = None
        if source.local or self._is_judged_host(source, destination):
            egress = self._lookup.decide(Direction.EGRESS, sender.identity, receiver, traffic)
        judged = destination.local or self._is_judged_host(destination, source)
        if judged and (egress is None or egress.verdict == Verdict.ALLOW):
            ingress = self._lookup.decide(Direction.INGRESS, receiver.identity, sender, traffic)
        last = ingress or egress
        return Judgement(last.verdict, egress, ingress) if last else UNJUDGED

    def _is_judged_host(self, subject: Actor, peer: Actor) -> bool:
        """The node is judged while it has entries, at its uplink: against neither workloads of its own nor itself."""
        has_entries = subject.reserved == Reserved.HOST and Reserved.HOST in self._state.subjects
        return has_entries and not peer.local and peer.reserved != Reserved.HOST


JUDGES: Mapping[str, JudgeFactory] = {
    "oracle": lambda compiled: Oracle(compiled.world),
    "map": MapJudge,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that did not hold, with the packet that showed it."""

    case: Case
    traffic: Traffic
    judgement: Judgement
    explanation: tuple[str, ...]

    def lines(self) -> list[str]:
        """What people are told: the case with its place, what was expected and found, and why."""
        told = self.to_dict()
        by = f" by {told['by']}" if told["by"] else ""
        case = f"{told['from']} -> {told['to']} {told['port']}"
        first = f"{told['file']}:{told['line']}: {case}: expected {told['expect']}{by}, found {told['verdict']}"
        return [first, *(f"    {line}" for line in told["explanation"])]

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.case.origin.file,
            "line": self.case.origin.line,
            "from": str(self.case.source),
            "to": str(self.case.destination),
            "port": str(self.traffic),
            "expect": self.case.expect.name.lower(),
            "verdict": self.judgement.verdict.name.lower(),
            "by": self.case.by,
            "rules": [_rule_dict(decision.rule) for decision in self.judgement.decisions],
            "explanation": list(self.explanation),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """How the cases of some documents went."""

    judge: str
    cases: int
    failed: tuple[Failure, ...]

    @property
    def passed(self) -> int:
        return self.cases - len(self.failed)

    def to_dict(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "cases": self.cases,
            "passed": self.passed,
            "failed": [failure.to_dict() for failure in self.failed],
        }


def world_of_tests(parsed: Parsed, settings: Settings = DEFAULT_SETTINGS, extra: Iterable[Party] = ()) -> World:
    """The world of some documents, with an actor for every party of their cases and of `extra`.

    Raises BadInput naming each case whose pod is not there.
    """
    cases = [case for test in parsed.tests for case in test.cases]
    parties = [party for case in cases for party in (case.source, case.destination)]
    world = build_world(parsed, [*parties, *extra], settings)
    problems = [problem for case in cases for problem in _missing(world, case)]
    if problems:
        raise BadInput(problems)
    return world


def run_tests(parsed: Parsed, judge: JudgeFactory = MapJudge, settings: Settings = DEFAULT_SETTINGS) -> Report:
    """Judge all cases of some documents. Raises BadInput for cases that cannot be asked."""
    compiled = compile_world(world_of_tests(parsed, settings))
    chosen, explainer = judge(compiled), Explainer(compiled.world)
    cases = [case for test in parsed.tests for case in test.cases]
    failed = [failure for case in cases if (failure := _run(compiled.world, chosen, explainer, case))]
    return Report(chosen.name, len(cases), tuple(failed))


def packets(world: World, case: Case) -> Iterator[Traffic]:
    """The kinds of packet that a case stands for: one, or one of each class of ports that the rules tell apart."""
    protocol, port = case.pattern
    if port is not None:
        yield Traffic(protocol, port)
        return
    first = 0 if protocol in _PORTLESS else 1
    edges = {first}
    for ports in (ports for rule in world.rules for ports in rule.traffic if ports.protocol == protocol):
        edges.update(edge for edge in (ports.first, ports.last + 1) if first <= edge <= last_port(protocol))
    for named in (each for actor in world.everyone() for each in actor.ports if each.protocol == protocol.name):
        edges.update(edge for edge in (named.port, named.port + 1) if edge <= last_port(protocol))
    yield from (Traffic(protocol, edge) for edge in sorted(edges))


def decided_by(judgement: Judgement, policy: str) -> bool:
    """Whether a rule of the policy decided a direction, or is tied with the one that did.

    A policy is named by its name, namespace/name, or kind/namespace/name.
    """
    return any(is_called(text.policy, policy) for decision in judgement.decisions for text in decision.tied)


def _run(world: World, judge: Judge, explainer: Explainer, case: Case) -> Failure | None:
    source, destination = world.actor(case.source), world.actor(case.destination)
    for traffic in packets(world, case):
        judgement = judge.judge(source, destination, traffic)
        if judgement.verdict != case.expect or (case.by and not decided_by(judgement, case.by)):
            told = explainer.explain(Question(source, destination, traffic)).brief()
            return Failure(case, traffic, judgement, tuple(told))
    return None


def _missing(world: World, case: Case) -> Iterator[Problem]:
    ends = ((case.source, case.source_place), (case.destination, case.destination_place))
    missing = [place for party, place in ends if party.pod and party not in world.parties]
    for place in missing:
        yield Problem(place.file, place.line, place.column, f"no pod {place.found}", "a pod of the manifests given")
    if not missing:
        try:
            addresses(world.actor(case.source), world.actor(case.destination), next(packets(world, case)))
        except ValueError as error:
            origin = case.destination_place
            yield Problem(origin.file, origin.line, origin.column, str(error), "ends that can speak to each other")


def _place_reserved(state: PolicyState, actor: Actor, reserved: Reserved) -> None:
    for address in actor.addresses if reserved not in {Reserved.HOST, Reserved.REMOTE_NODE} else ():
        state.ipcache.assign(host_network(address), reserved)


def _addresses(world: World, kind: Reserved) -> list[Address]:
    """The addresses of the nodes of a kind; link-local ones are the host's anyway."""
    found = [address for actor in world.everyone() if actor.reserved == kind for address in actor.addresses]
    return [address for address in dict.fromkeys(found) if not inside(host_network(address), LINK_LOCAL)]


def _rule_dict(text: RuleText) -> dict[str, Any]:
    return {
        "policy": text.policy,
        "direction": text.direction.name.lower(),
        "verdict": text.verdict.name.lower(),
        "text": text.text,
        "origin": text.origin,
    }
