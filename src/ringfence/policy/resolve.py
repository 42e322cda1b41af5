"""Resolution: rules times identities gives entries, one change at a time.

A rule wants one entry for each of its subjects that lives on this host, each of its peers and each block of its ports.
Subjects and peers are live sets that many rules share; when one set gains or loses a number, only the rules that use it
are touched, and only their entries for that number. Rules of one shape are resolved once. Doing so from nothing and in
steps gives the same map state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import repeat
from typing import Final, NamedTuple, TypeVar

from ringfence.abi import Direction, PeerKind, Tier
from ringfence.identity.prefixes import Block, Network, PrefixTable
from ringfence.identity.reserved import Reserved
from ringfence.identity.selectors import SelectorCache
from ringfence.labels import PORT_SOURCE, Label, Labels
from ringfence.policy.mapstate import Claim, MapState, PolicyKey, Wish
from ringfence.policy.rule import (
    ALL_TRAFFIC,
    ANYONE,
    DEFAULT_PRECEDENCE,
    NamedPort,
    Peers,
    Ports,
    Rule,
    default_allow,
)
from ringfence.selector import Operator, Requirement, Selector
from ringfence.traffic import PORT_BITS, WITH_PORTS, port_blocks

IDENTITY: Final = int(PeerKind.IDENTITY)
PREFIX_CLASS: Final = int(PeerKind.PREFIX_CLASS)
ANY: Final = int(PeerKind.ANY)
#: Bits of a key's prefix that say: this protocol. The bits of the port come on top.
PROTOCOL_BITS: Final = 8
#: The peer of entries for anyone.
_ANYONE: Final = (ANY, frozenset({0}))

#: A kind of peer set and not of peer: identities, for the ports that they call by name.
NAMED: Final = -1

#: Makes a key of a tuple without a call of Python's.
_KEY: Final[Callable[[Iterable[int]], PolicyKey]] = partial(tuple.__new__, PolicyKey)

Source = tuple[int, Selector | Block]
PeerSet = tuple[int, AbstractSet[int]]
NumberLabels = Mapping[int, tuple[Label, ...]]
Tail = tuple[int, int, int]
SourceKey = TypeVar("SourceKey")


def tails(traffic: Iterable[Ports]) -> list[Tail]:
    """Port, protocol and prefix of the entries that ranges of ports need, each once."""
    found: dict[Tail, None] = {}
    for ports in traffic:
        if ports.protocol is None:
            found[0, 0, 0] = None
        elif ports.whole:
            found[0, ports.protocol, PROTOCOL_BITS] = None
        else:
            for block in port_blocks(ports.first, ports.last):
                found[block.port, ports.protocol, PROTOCOL_BITS + block.bits] = None
    return list(found)


class Shape(NamedTuple):
    """All that decides which keys a rule wants, and how strongly. Rules of one shape share one claim."""

    subject: Selector
    direction: Direction
    tier: Tier
    precedence: int
    peers: Peers
    traffic: tuple[Ports, ...]
    named_ports: tuple[NamedPort, ...]
    staged: bool
    for_host: bool

    @classmethod
    def of(cls, rule: Rule) -> Shape:
        fields = rule.subject, rule.direction, rule.tier, rule.precedence
        return cls(*fields, rule.peers, rule.traffic, rule.named_ports, rule.staged, rule.for_host)

    @classmethod
    def isolating(cls, rule: Rule) -> Shape:
        """The default deny of the rule's subjects, which all rules with these subjects share."""
        fields = rule.subject, rule.direction, Tier.NORMAL, DEFAULT_PRECEDENCE
        return cls(*fields, ANYONE, ALL_TRAFFIC, (), rule.staged, rule.for_host)

    @property
    def sources(self) -> list[Source]:
        """What the peers are made of, each once. Egress to a port by name is to peers that call one so."""
        parts: list[Source] = [(IDENTITY, selector) for selector in self.peers.selectors]
        parts += [(IDENTITY, block) for block in self.peers.outside]
        parts += [(PREFIX_CLASS, block) for block in self.peers.addresses]
        if self.named_ports and self.direction == Direction.EGRESS:
            calling = (Selector((Requirement(PORT_SOURCE, key, Operator.EXISTS),)) for key in self.port_keys)
            parts += [(NAMED, selector) for selector in (calling if self.peers.anyone else self.peers.selectors)]
        return list(dict.fromkeys(parts))

    @property
    def port_keys(self) -> dict[str, int]:
        """The keys of the labels that stand for the named ports, and their protocols."""
        return {
            f"{port.name}/{protocol.name}": protocol
            for port in self.named_ports
            for protocol in WITH_PORTS
            if port.protocol in {None, protocol}
        }


class Active:
    """The rules of one shape, with the live sets that they speak of."""

    __slots__ = ("_by_name", "_labels", "_tails", "claim", "peers", "shape", "sources", "subjects")

    def __init__(self, shape: Shape, claim: Claim, subjects: AbstractSet[int], labels: NumberLabels) -> None:
        self.shape = shape
        self.claim = claim
        self.subjects = subjects
        self.sources = shape.sources
        self.peers: list[PeerSet] = []
        self._labels = labels
        self._tails = tails(shape.traffic)
        self._by_name = shape.port_keys

    def keys(self, subjects: Iterable[int], peers: Collection[PeerSet]) -> Iterator[PolicyKey]:
        """The entries for these subjects and peers, a peer at a time only where each has ports of its own."""
        for subject in subjects:
            own = self._tails
            if self._by_name and self.shape.direction == Direction.INGRESS:
                own = list(dict.fromkeys((*own, *self._named(subject))))
            for kind, numbers in peers:
                if kind != NAMED:
                    yield from self._block(subject, kind, numbers, own)
                    continue
                for number in numbers:
                    yield from self._block(subject, IDENTITY, (number,), self._named(number))

    def _block(self, subject: int, kind: int, numbers: Collection[int], own: list[Tail]) -> Iterator[PolicyKey]:
        """All of some peers times all of some ports. Most entries are made here, so no Python runs for each of them."""
        shape = self.shape
        same = (repeat(kind), repeat(int(shape.tier)), repeat(int(shape.direction)), repeat(int(shape.staged)))
        for port, protocol, prefix in own:
            yield from map(_KEY, zip(repeat(subject), numbers, repeat(port), repeat(protocol), repeat(prefix), *same))

    def speaks_of(self, kind: int, number: int) -> bool:
        return any(number in numbers for each, numbers in self.peers if each == kind)

    def _named(self, number: int) -> list[Tail]:
        """The entries for what an identity calls by the names of the rules."""
        return [
            (int(port), self._by_name[label.key], PROTOCOL_BITS + PORT_BITS)
            for label in self._labels.get(number, ())
            if label.key in self._by_name
            for port in label.value.split(",")
        ]


class Resolver:
    """Keeps a map state exact while rules, identities, prefixes and subjects come and go."""

    def __init__(self, selectors: SelectorCache, prefixes: PrefixTable) -> None:
        self.map = MapState()
        self._selectors = selectors
        self._prefixes = prefixes
        # The node, whom rules of its own protect, apart from the workloads.
        self._local: dict[bool, set[int]] = {for_host: set() for for_host in (False, True)}
        self._active: dict[Shape, Active] = {}
        self._parts: dict[Rule, list[tuple[Active, Wish]]] = {}
        self._by_subject: dict[Selector, dict[Active, None]] = {}
        self._by_peer: dict[Source, dict[Active, None]] = {}
        self._ports: dict[int, tuple[Label, ...]] = {}
        #: Who is judged has defaults; by (direction, staged).
        self._defaults = {(direction, 0): Claim(Wish(default_allow(direction))) for direction in Direction}

    @property
    def subjects(self) -> AbstractSet[int]:
        """The identities that have an endpoint on this host, and the node's own while rules protect it."""
        return self._local[False] | self._local[True]

    def stage(self, *, on: bool) -> None:
        """Have staged rules judged, or no longer: whoever is judged has staged defaults too."""
        for direction in Direction:
            claim = self._defaults[direction, 0] if on else self._defaults.pop((direction, 1))
            keys = (default_key(identity, direction, Tier.BASELINE, staged=1) for identity in self.subjects)
            if on:
                self._defaults[direction, 1] = claim
                self.map.add(keys, claim)
            else:
                self.map.remove(keys, claim)

    def add_rule(self, rule: Rule) -> None:
        """Its prefixes are known already."""
        wanted = [(Shape.of(rule), Wish(rule.text, rule.origin))]
        if rule.default_deny:
            wanted.append((Shape.isolating(rule), Wish(rule.isolation, rule.origin)))
        self._parts[rule] = [(self._join(shape, wish), wish) for shape, wish in wanted]

    def remove_rule(self, rule: Rule) -> None:
        for active, wish in self._parts.pop(rule):
            self._leave(active, wish)

    def _join(self, shape: Shape, wish: Wish) -> Active:
        active = self._active.get(shape)
        if active is None:
            return self._start(shape, Claim(wish))
        if active.claim.goes_first(wish):
            self.map.change_first(self._all_keys(active), active.claim, partial(active.claim.add, wish))
        else:
            active.claim.add(wish)
        return active

    def _leave(self, active: Active, wish: Wish) -> None:
        if len(active.claim.wishes) == 1:
            self._end(active)
        elif active.claim.goes_first(wish):
            self.map.change_first(self._all_keys(active), active.claim, partial(active.claim.remove, wish))
        else:
            active.claim.remove(wish)

    def _start(self, shape: Shape, claim: Claim) -> Active:
        active = self._active[shape] = Active(shape, claim, self._selectors.acquire(shape.subject), self._ports)
        active.peers = [self._acquire(source) for source in active.sources]
        if shape.peers.anyone:
            active.peers.append(_ANYONE)
        self._by_subject.setdefault(shape.subject, {})[active] = None
        for source in active.sources:
            self._by_peer.setdefault(source, {})[active] = None
        self.map.add(self._all_keys(active), claim)
        return active

    def _end(self, active: Active) -> None:
        self.map.remove(self._all_keys(active), active.claim)
        del self._active[active.shape]
        _take_off(self._by_subject, active.shape.subject, active)
        self._selectors.release(active.shape.subject)
        for source in active.sources:
            _take_off(self._by_peer, source, active)
            self._release(source)

    def _all_keys(self, active: Active) -> Iterator[PolicyKey]:
        return active.keys(self._living(active), active.peers)

    def _living(self, active: Active) -> AbstractSet[int]:
        """Whom the rules of a shape protect on this host."""
        return self._local[active.shape.for_host] & active.subjects

    def add_subject(self, identity: int) -> None:
        """The first endpoint of an identity has come to this host; the identity is known already."""
        self._local[identity == Reserved.HOST].add(identity)
        for (direction, staged), claim in self._defaults.items():
            self.map.add([default_key(identity, direction, Tier.BASELINE, staged)], claim)
        for active in self._selecting(identity):
            self.map.add(active.keys([identity], active.peers), active.claim)

    def remove_subject(self, identity: int) -> None:
        """The last endpoint of an identity has left this host; the identity is still known."""
        self._local[identity == Reserved.HOST].remove(identity)
        for (direction, staged), claim in self._defaults.items():
            self.map.remove([default_key(identity, direction, Tier.BASELINE, staged)], claim)
        for active in self._selecting(identity):
            self.map.remove(active.keys([identity], active.peers), active.claim)

    def add_identity(self, number: int, labels: Labels) -> None:
        """An identity has come into use; it becomes a subject afterwards, if at all."""
        if labels.ports:
            self._ports[number] = labels.ports
        for selector in self._selectors.add(number, labels):
            self._selector_gains(selector, number)

    def remove_identity(self, number: int) -> None:
        """An identity has gone out of use; it has ceased to be a subject before."""
        for selector in self._selectors.remove(number):
            self._selector_loses(selector, number)
        self._ports.pop(number, None)

    def relabel(self, number: int, labels: Labels) -> None:
        """A prefix's identity has other covering prefixes."""
        gained, lost = self._selectors.relabel(number, labels)
        for selector in gained:
            self._selector_gains(selector, number)
        for selector in lost:
            self._selector_loses(selector, number)

    def add_prefix(self, prefix: Network, number: int) -> None:
        """A policy prefix has come into use. Its identity is added besides."""
        for block in self._prefixes.add(prefix, number):
            self._prefixes.gain(block, number)
            self._peer_gained(block, number)

    def remove_prefix(self, prefix: Network) -> None:
        number = self._prefixes.number(prefix)
        for block in self._prefixes.remove(prefix):
            self._prefixes.lose(block, number)
            self._peer_lost(block, number)

    def _selector_gains(self, selector: Selector, number: int) -> None:
        self._selectors.gain(selector, number)
        self._peer_gained(selector, number)

    def _selector_loses(self, selector: Selector, number: int) -> None:
        self._selectors.lose(selector, number)
        self._peer_lost(selector, number)

    def _peer_gained(self, source: Selector | Block, number: int) -> None:
        for kind in (NAMED, IDENTITY, PREFIX_CLASS):
            for active in self._by_peer.get((kind, source), ()):
                self.map.add(active.keys(self._living(active), [(kind, {number})]), active.claim)

    def _peer_lost(self, source: Selector | Block, number: int) -> None:
        """A number may be spoken of through another of the rule's sets still."""
        for kind in (NAMED, IDENTITY, PREFIX_CLASS):
            for active in self._by_peer.get((kind, source), ()):
                if not active.speaks_of(kind, number):
                    self.map.remove(active.keys(self._living(active), [(kind, {number})]), active.claim)

    def _selecting(self, identity: int) -> Iterator[Active]:
        for selector, users in self._by_subject.items():
            if identity in self._selectors.selected(selector):
                yield from (active for active in users if active.shape.for_host == (identity == Reserved.HOST))

    def _acquire(self, source: Source) -> PeerSet:
        kind, what = source
        return kind, self._prefixes.acquire(what) if isinstance(what, Block) else self._selectors.acquire(what)

    def _release(self, source: Source) -> None:
        what = source[1]
        if isinstance(what, Block):
            self._prefixes.release(what)
        else:
            self._selectors.release(what)


def default_key(subject: int, direction: Direction, tier: Tier, staged: int = 0) -> PolicyKey:
    """The entry that matches everything of a subject: default deny in the Normal tier, default allow in Baseline."""
    return PolicyKey(subject, 0, 0, 0, 0, ANY, int(tier), int(direction), staged)


def _take_off(shelves: dict[SourceKey, dict[Active, None]], source: SourceKey, active: Active) -> None:
    del shelves[source][active]
    if not shelves[source]:
        del shelves[source]
