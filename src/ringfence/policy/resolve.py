"""Resolution: rules times identities gives entries, one change at a time.

A rule wants one entry for each of its subjects that lives on this host, each of its peers and each block of its ports.
Subjects and peers are live sets that many rules share; when one set gains or loses a number, only the rules that use it
are touched, and only their entries for that number. Doing so from nothing and in steps gives the same map state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, TypeVar

from ringfence.abi import Direction, PeerKind, Tier
from ringfence.identity.prefixes import Block, Network, PrefixTable
from ringfence.identity.selectors import SelectorCache
from ringfence.labels import Labels
from ringfence.policy.mapstate import Claim, MapState, PolicyKey
from ringfence.policy.rule import Ports, Rule, default_allow
from ringfence.selector import Selector
from ringfence.traffic import port_blocks

IDENTITY: Final = int(PeerKind.IDENTITY)
PREFIX_CLASS: Final = int(PeerKind.PREFIX_CLASS)
ANY: Final = int(PeerKind.ANY)
#: Bits of a key's prefix that say: this protocol. The bits of the port come on top.
PROTOCOL_BITS: Final = 8
#: The peer of entries for anyone.
_ANYONE: Final = (ANY, frozenset({0}))

Source = tuple[int, Selector | Block]
PeerSet = tuple[int, AbstractSet[int]]
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


class ActiveRule:
    """A rule with the live sets that it speaks of."""

    __slots__ = ("claim", "isolation", "peers", "rule", "subjects", "tails")

    def __init__(self, rule: Rule, subjects: AbstractSet[int], peers: list[PeerSet]) -> None:
        self.rule = rule
        self.subjects = subjects
        self.peers = peers
        self.tails = tails(rule.traffic)
        self.claim = Claim(rule.text, rule.origin)
        self.isolation = Claim(rule.isolation, rule.origin) if rule.default_deny else None

    def keys(self, subjects: Iterable[int], peers: Collection[PeerSet]) -> Iterator[PolicyKey]:
        """The entries for these subjects and peers."""
        make, tier, direction = PolicyKey._make, int(self.rule.tier), int(self.rule.direction)
        for subject in subjects:
            for kind, numbers in peers:
                for number in numbers:
                    for port, protocol, prefix in self.tails:
                        yield make((subject, number, port, protocol, prefix, kind, tier, direction))

    def speaks_of(self, kind: int, number: int) -> bool:
        return any(number in numbers for each, numbers in self.peers if each == kind)


class Resolver:
    """Keeps a map state exact while rules, identities, prefixes and subjects come and go."""

    def __init__(self, selectors: SelectorCache, prefixes: PrefixTable) -> None:
        self.map = MapState()
        self._selectors = selectors
        self._prefixes = prefixes
        self._local: set[int] = set()
        self._rules: dict[Rule, ActiveRule] = {}
        self._by_subject: dict[Selector, dict[Rule, ActiveRule]] = {}
        self._by_peer: dict[Source, dict[Rule, ActiveRule]] = {}
        self._defaults = [(direction, Claim(default_allow(direction))) for direction in Direction]

    @property
    def subjects(self) -> AbstractSet[int]:
        """The identities that have an endpoint on this host."""
        return self._local

    def add_rule(self, rule: Rule) -> None:
        """Its prefixes are known already."""
        subjects = self._selectors.acquire(rule.subject)
        active = ActiveRule(rule, subjects, [self._acquire(source) for source in _sources(rule)])
        if rule.peers.anyone:
            active.peers.append(_ANYONE)
        self._rules[rule] = active
        self._by_subject.setdefault(rule.subject, {})[rule] = active
        for source in _sources(rule):
            self._by_peer.setdefault(source, {})[rule] = active
        self._claim(active, self._local & subjects)

    def remove_rule(self, rule: Rule) -> None:
        active = self._rules.pop(rule)
        self._disclaim(active, self._local & active.subjects)
        _take_off(self._by_subject, rule.subject, rule)
        self._selectors.release(rule.subject)
        for source in _sources(rule):
            _take_off(self._by_peer, source, rule)
            self._release(source)

    def add_subject(self, identity: int) -> None:
        """The first endpoint of an identity has come to this host; the identity is known already."""
        self._local.add(identity)
        for direction, claim in self._defaults:
            self.map.add([default_key(identity, direction, Tier.BASELINE)], claim)
        for active in self._selecting(identity):
            self._claim(active, {identity})

    def remove_subject(self, identity: int) -> None:
        """The last endpoint of an identity has left this host; the identity is still known."""
        self._local.remove(identity)
        for direction, claim in self._defaults:
            self.map.remove([default_key(identity, direction, Tier.BASELINE)], claim)
        for active in self._selecting(identity):
            self._disclaim(active, {identity})

    def add_identity(self, number: int, labels: Labels) -> None:
        """An identity has come into use; it becomes a subject afterwards, if at all."""
        for selector in self._selectors.add(number, labels):
            self._selector_gains(selector, number)

    def remove_identity(self, number: int) -> None:
        """An identity has gone out of use; it has ceased to be a subject before."""
        for selector in self._selectors.remove(number):
            self._selector_loses(selector, number)

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
        for kind in (IDENTITY, PREFIX_CLASS):
            for active in self._by_peer.get((kind, source), {}).values():
                self.map.add(active.keys(self._local & active.subjects, [(kind, {number})]), active.claim)

    def _peer_lost(self, source: Selector | Block, number: int) -> None:
        """A number may be spoken of through another of the rule's sets still."""
        for kind in (IDENTITY, PREFIX_CLASS):
            for active in self._by_peer.get((kind, source), {}).values():
                if not active.speaks_of(kind, number):
                    self.map.remove(active.keys(self._local & active.subjects, [(kind, {number})]), active.claim)

    def _claim(self, active: ActiveRule, subjects: AbstractSet[int]) -> None:
        self.map.add(active.keys(subjects, active.peers), active.claim)
        if active.isolation:
            self.map.add(_isolated(active.rule, subjects), active.isolation)

    def _disclaim(self, active: ActiveRule, subjects: AbstractSet[int]) -> None:
        self.map.remove(active.keys(subjects, active.peers), active.claim)
        if active.isolation:
            self.map.remove(_isolated(active.rule, subjects), active.isolation)

    def _selecting(self, identity: int) -> Iterator[ActiveRule]:
        for selector, users in self._by_subject.items():
            if identity in self._selectors.selected(selector):
                yield from users.values()

    def _acquire(self, source: Source) -> PeerSet:
        kind, what = source
        return kind, self._prefixes.acquire(what) if isinstance(what, Block) else self._selectors.acquire(what)

    def _release(self, source: Source) -> None:
        what = source[1]
        if isinstance(what, Block):
            self._prefixes.release(what)
        else:
            self._selectors.release(what)


def default_key(subject: int, direction: Direction, tier: Tier) -> PolicyKey:
    """The entry that matches everything of a subject: default deny in the Normal tier, default allow in Baseline."""
    return PolicyKey(subject, 0, 0, 0, 0, ANY, int(tier), int(direction))


def _isolated(rule: Rule, subjects: Iterable[int]) -> list[PolicyKey]:
    return [default_key(subject, rule.direction, Tier.NORMAL) for subject in subjects]


def _sources(rule: Rule) -> list[Source]:
    """What a rule's peers are made of, each once."""
    parts: list[Source] = [(IDENTITY, selector) for selector in rule.peers.selectors]
    parts += [(IDENTITY, block) for block in rule.peers.outside]
    parts += [(PREFIX_CLASS, block) for block in rule.peers.addresses]
    return list(dict.fromkeys(parts))


def _take_off(shelves: dict[SourceKey, dict[Rule, ActiveRule]], source: SourceKey, rule: Rule) -> None:
    del shelves[source][rule]
    if not shelves[source]:
        del shelves[source]
