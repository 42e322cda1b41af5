"""The oracle: rules read by the book, slowly, to check everything faster against.

It knows no entries, numbers or prefixes of ports. For one packet it asks of every rule whether it selects the subject,
means the peer by labels or address, and covers the traffic; then it takes the tiers in turn. It shares no code with the
compiler; how specific an answer is, it works out from what the rules say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from ringfence.abi import Direction, PeerKind, Tier, Verdict
from ringfence.identity.prefixes import Address, host_network
from ringfence.labels import Label
from ringfence.policy.rule import NamedPort, Ports, Rule, default_allow, is_host
from ringfence.policy.world import Actor, World, outside_labels
from ringfence.selector import Selector
from ringfence.traffic import PORT_BITS, Protocol, Traffic
from ringfence.verdict import UNJUDGED, Decision, Judgement, RuleText


@dataclass(frozen=True, slots=True)
class Answer:
    """A rule that speaks of a packet. `port_bits` is how much of the traffic it pins down, -1 for none of it."""

    rule: Rule
    port_bits: int
    peer_kind: PeerKind

    @property
    def weight(self) -> tuple[int, int, int, int, int]:
        """What is compared among the answers of one tier: the highest decides."""
        strength = (Verdict.PASS, Verdict.ALLOW, Verdict.DENY).index(self.rule.verdict)
        return (-self.rule.priority, -self.rule.order, strength, self.port_bits, -self.peer_kind)


class Oracle:
    """Judges packets of one world. Which rules select an actor is remembered; nothing else is."""

    name = "oracle"

    def __init__(self, world: World) -> None:
        self.rules = list(world.rules)
        self._by_subject: dict[Direction, dict[Selector, list[Rule]]] = {direction: {} for direction in Direction}
        for rule in self.rules:
            self._by_subject[rule.direction].setdefault(rule.subject, []).append(rule)
        self._selecting: dict[tuple[Direction, Actor], list[Rule]] = {}

    def judge(self, source: Actor, destination: Actor, traffic: Traffic) -> Judgement:
        """The verdict on one packet: the source's egress, then the destination's ingress."""
        ends = addresses(source, destination, traffic)
        egress = ingress = None
        if self.judges(source, destination):
            egress = self._decide(Direction.EGRESS, source, destination, ends[1], traffic)
        if self.judges(destination, source) and (egress is None or egress.verdict == Verdict.ALLOW):
            ingress = self._decide(Direction.INGRESS, destination, source, ends[0], traffic)
        last = ingress or egress
        return Judgement(last.verdict, egress, ingress) if last else UNJUDGED

    def judges(self, subject: Actor, peer: Actor) -> bool:
        """Whether an end is judged against another: every workload is, the node by its own rules."""
        outside = not peer.local and not is_host(peer.labels)
        return subject.local or (outside and self.judges_somewhere(subject))

    def judges_somewhere(self, subject: Actor) -> bool:
        """Whether there is a peer that an end is judged against."""
        if subject.local or not is_host(subject.labels):
            return subject.local
        return any(self.selecting(each, subject) for each in Direction)

    def by_subject(self, direction: Direction) -> Iterable[tuple[Selector, list[Rule]]]:
        """The rules of a direction, those of one subject together."""
        return self._by_subject[direction].items()

    def decide(
        self,
        direction: Direction,
        source: Actor,
        destination: Actor,
        traffic: Traffic,
        without: Collection[Rule] = (),
    ) -> Decision:
        """The verdict of one direction by itself, as if some rules were not written."""
        ends = addresses(source, destination, traffic)
        if direction == Direction.EGRESS:
            return self._decide(direction, source, destination, ends[1], traffic, without)
        return self._decide(direction, destination, source, ends[0], traffic, without)

    def selecting(self, direction: Direction, subject: Actor) -> list[Rule]:
        """The rules that select an actor as their subject."""
        key = (direction, subject)
        if key not in self._selecting:
            by_subject = self._by_subject[direction].items()
            found = [rule for selector, rules in by_subject if selector.matches(subject.labels) for rule in rules]
            self._selecting[key] = [rule for rule in found if rule.for_host == is_host(subject.labels)]
        return self._selecting[key]

    def _decide(
        self,
        direction: Direction,
        subject: Actor,
        peer: Actor,
        peer_address: Address,
        traffic: Traffic,
        without: Collection[Rule] = (),
    ) -> Decision:
        rules = [rule for rule in self.selecting(direction, subject) if rule not in without]
        destination = peer if direction == Direction.EGRESS else subject
        given = [answer for rule in rules for answer in answers(rule, peer, peer_address, traffic, destination)]
        for tier in Tier:
            in_tier = [answer for answer in given if answer.rule.tier == tier]
            if in_tier:
                weight = max(answer.weight for answer in in_tier)
                deciding = [answer.rule for answer in in_tier if answer.weight == weight]
                if deciding[0].verdict != Verdict.PASS:
                    return _decision(direction, deciding, isolating=False)
            isolating = [rule for rule in rules if rule.default_deny]
            if tier == Tier.NORMAL and isolating:
                return _decision(direction, isolating, isolating=True)
        allowed = default_allow(direction)
        return Decision(Verdict.ALLOW, allowed.reason, direction, allowed, (allowed,))


def evaluate(world: World, source: Actor, destination: Actor, traffic: Traffic) -> Judgement:
    """The verdict on one packet, and the rule of each direction that was judged."""
    return Oracle(world).judge(source, destination, traffic)


def addresses(source: Actor, destination: Actor, traffic: Traffic) -> tuple[Address, Address]:
    """The addresses that a packet between two actors carries: IPv4 where both have it, unless it is ICMPv6.

    Raises ValueError where they have no family in common that could carry the traffic.
    """
    for version in _families(traffic):
        ends = source.address(version), destination.address(version)
        if ends[0] is not None and ends[1] is not None:
            return ends[0], ends[1]
    raise ValueError(f"{source.name} and {destination.name} have no addresses of one family that carries {traffic}")


def peer_meant(rule: Rule, peer: Actor, address: Address) -> list[PeerKind]:
    """The ways in which a rule means a peer; none if it does not."""
    network, peers = host_network(address), rule.peers
    labels = outside_labels([address]) if peer.outside else peer.labels
    if peer.addressed:
        labels |= [Label("cidr", str(network))]
    found = []
    if any(selector.matches(labels) for selector in peers.selectors) or (
        (peer.outside or peer.addressed) and any(network in block for block in peers.outside)
    ):
        found.append(PeerKind.IDENTITY)
    if any(network in block for block in peers.addresses):
        found.append(PeerKind.PREFIX_CLASS)
    return [*found, PeerKind.ANY] if peers.anyone else found


def traffic_meant(rule: Rule, traffic: Traffic, destination: Actor) -> list[int]:
    """For each range of a rule that covers the traffic, how many bits of the port it pins down, -1 for all traffic.

    Ports by name are those of the destination.
    """
    bits = [_pinned(ports, traffic.port) for ports in rule.traffic if _covers(ports, traffic)]
    return [*bits, PORT_BITS] if any(_named(port, traffic, destination) for port in rule.named_ports) else bits


def answers(rule: Rule, peer: Actor, address: Address, traffic: Traffic, destination: Actor) -> Iterator[Answer]:
    """What a rule that selects the subject says of a packet, once for each way in which it speaks of it."""
    kinds = peer_meant(rule, peer, address)
    yield from (Answer(rule, bits, kind) for kind in kinds for bits in set(traffic_meant(rule, traffic, destination)))
    by_name = any(_named(port, traffic, destination) for port in rule.named_ports)
    if by_name and rule.direction == Direction.EGRESS and kinds:
        # Who calls a port so is one peer among others, even where the rule speaks of anyone.
        yield Answer(rule, PORT_BITS, PeerKind.IDENTITY)


def _named(port: NamedPort, traffic: Traffic, destination: Actor) -> bool:
    return port.protocol in (None, traffic.protocol) and any(
        each.name == port.name and each.port == traffic.port and Protocol[each.protocol] == traffic.protocol
        for each in destination.ports
    )


def _covers(ports: Ports, traffic: Traffic) -> bool:
    return ports.protocol is None or (ports.protocol == traffic.protocol and ports.first <= traffic.port <= ports.last)


def _pinned(ports: Ports, port: int) -> int:
    """A range is as specific as the largest power of two of ports, aligned to itself, around the port inside it."""
    if ports.protocol is None:
        return -1
    if ports.whole:
        return 0
    for bits in range(PORT_BITS + 1):
        size = 1 << (PORT_BITS - bits)
        start = port - port % size
        if ports.first <= start and start + size - 1 <= ports.last:
            return bits
    raise AssertionError("a port is a block of its own")


def _decision(direction: Direction, rules: Iterable[Rule], *, isolating: bool) -> Decision:
    ordered = sorted(dict.fromkeys(rules), key=lambda rule: rule.sequence)
    texts: tuple[RuleText, ...] = tuple(rule.isolation if isolating else rule.text for rule in ordered)
    return Decision(texts[0].verdict, texts[0].reason, direction, texts[0], texts)


def _families(traffic: Traffic) -> tuple[int, ...]:
    return {1: (4,), 58: (6,)}.get(traffic.protocol, (4, 6))
