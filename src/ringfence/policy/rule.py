"""Rules: one allow, deny or pass statement each, with the place it was written in.

Every kind of policy is read into this one shape; what differs between kinds is only which fields they fill. A rule
belongs to a tier, has a priority and an order in it (0 for the kinds that have none), protects the endpoints that its
subject selects in one direction, and speaks of peers and traffic. A rule with `default_deny` isolates its subjects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from ringfence.abi import Direction, Reason, Tier, Verdict
from ringfence.identity.prefixes import Block, Network
from ringfence.identity.reserved import Reserved
from ringfence.labels import Labels
from ringfence.selector import Selector
from ringfence.traffic import format_protocol, last_port
from ringfence.verdict import RuleText

#: Priorities and orders are inverted within this many bits of a precedence.
_RANK_BITS: Final = 24
_CLASS_BITS: Final = 8
_CLASS: Final = {Verdict.PASS: 1, Verdict.ALLOW: 2, Verdict.DENY: 3}
DEFAULT_PRECEDENCE: Final = 0


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where something is written. `line` counts from 1, `document` numbers the documents of a file from 1.

    What no file says is built in: its file is empty.
    """

    file: str = ""
    line: int = 0
    document: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else ""


BUILT_IN: Final = Origin()


@dataclass(frozen=True, slots=True)
class CidrGroup:
    """Prefixes under a name and labels, for rules to refer to."""

    name: str
    labels: Labels
    prefixes: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class GroupBlock:
    """The addresses of some CIDR groups, without exceptions. The groups are meant by one name or by their labels.

    A group that is not there has no addresses.
    """

    name: str = ""
    selector: Selector | None = None
    excepts: tuple[Network, ...] = ()

    def means(self, group: CidrGroup) -> bool:
        """Whether it speaks of a group."""
        return group.name == self.name if self.selector is None else self.selector.matches(group.labels)

    def __str__(self) -> str:
        named = f"CIDR group {self.name}" if self.selector is None else f"CIDR groups with {self.selector}"
        return f"{named} except {', '.join(map(str, self.excepts))}" if self.excepts else named


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """Some services, meant by one name or by their labels, in one namespace or, without, in any."""

    name: str = ""
    namespace: str = ""
    selector: Selector | None = None

    def means(self, namespace: str, name: str, labels: Labels) -> bool:
        """Whether it speaks of a service."""
        if self.namespace not in ("", namespace):
            return False
        return name == self.name if self.selector is None else self.selector.matches(labels)

    def __str__(self) -> str:
        where = f" of namespace {self.namespace}" if self.namespace else ""
        if self.selector is not None:
            return f"services with {self.selector}{where}"
        return f"service {self.namespace}/{self.name}" if self.namespace else f"service {self.name} of any namespace"


@dataclass(frozen=True, slots=True)
class Peers:
    """Whom a rule speaks of: the union of its parts; with none of them nobody.

    `outside` are addresses of whatever is no endpoint (Cilium's CIDR rules); `addresses` are addresses of whomever
    (Kubernetes' ipBlock and networks). `groups` stand for blocks that are to be put into their place by what the
    groups hold at the time: `outside`, once they are. `services` stand for their backends, which are added to
    `selectors` and `addresses` as the services are at the time.
    """

    anyone: bool = False
    selectors: tuple[Selector, ...] = ()
    outside: tuple[Block, ...] = ()
    addresses: tuple[Block, ...] = ()
    groups: tuple[GroupBlock, ...] = ()
    services: tuple[ServiceRef, ...] = ()

    @property
    def prefixes(self) -> frozenset[Network]:
        """All prefixes that addresses must be told apart by for these peers to be exact."""
        blocks = (*self.outside, *self.addresses)
        return frozenset(
            [block.prefix for block in blocks]
            + [each for block in blocks for each in block.excepts]
            + [prefix for selector in self.selectors for prefix in selector.prefixes]
        )

    def __str__(self) -> str:
        if self.anyone:
            return "anyone"
        parts = (*self.selectors, *self.outside, *self.addresses, *self.groups, *self.services)
        return " or ".join(map(str, parts)) or "nobody"


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of ports (ICMP types) of a protocol. Without a protocol: all traffic, and the range says nothing."""

    protocol: int | None = None
    first: int = 0
    last: int = 65535

    @property
    def whole(self) -> bool:
        """Whether the protocol alone decides."""
        return self.protocol is not None and self.first == 0 and self.last >= last_port(self.protocol)

    def __str__(self) -> str:
        if self.protocol is None:
            return "anything"
        if self.whole:
            return f"any/{format_protocol(self.protocol)}"
        ports = f"{self.first}-{self.last}" if self.last > self.first else str(self.first)
        return f"{ports}/{format_protocol(self.protocol)}"


@dataclass(frozen=True, slots=True)
class NamedPort:
    """The ports that the destination itself calls by a name. Without a protocol: those of whatever protocol."""

    name: str
    protocol: int | None = None

    def __str__(self) -> str:
        return f"{self.name}/{format_protocol(self.protocol)}" if self.protocol is not None else self.name


ANYONE: Final = Peers(anyone=True)
NOBODY: Final = Peers()
ALL_TRAFFIC: Final = (Ports(),)


@dataclass(frozen=True)
class Rule:
    """One statement of a policy. `index` numbers the rules of a policy; `policy` is its uid, kind/namespace/name.

    It speaks of all of `traffic` and, besides, of the destination's `named_ports`. A `staged` one is judged beside
    those in force, without effect. A rule `for_host` protects the node
    itself, where its labels are selected, and no workload; every other rule workloads only.
    """

    policy: str
    index: int
    direction: Direction
    verdict: Verdict
    subject: Selector
    peers: Peers
    traffic: tuple[Ports, ...] = ALL_TRAFFIC
    tier: Tier = Tier.NORMAL
    priority: int = 0
    order: int = 0
    default_deny: bool = True
    origin: Origin = BUILT_IN
    named_ports: tuple[NamedPort, ...] = ()
    staged: bool = False
    for_host: bool = False

    def selects(self, labels: Labels) -> bool:
        """Whether it protects who has these labels."""
        return self.for_host == is_host(labels) and self.subject.matches(labels)

    @cached_property
    def precedence(self) -> int:
        """What the datapath compares within a tier: priority, then order, then deny over allow over pass."""
        top = (1 << _RANK_BITS) - 1
        rank = ((top - self.priority) << _RANK_BITS) | (top - self.order)
        return (rank << _CLASS_BITS) | _CLASS[self.verdict]

    @cached_property
    def text(self) -> RuleText:
        """What the rule's entries stand for."""
        denies = self.verdict == Verdict.DENY
        return RuleText(
            policy=self.policy,
            index=self.index,
            direction=self.direction,
            tier=self.tier,
            verdict=self.verdict,
            precedence=self.precedence,
            reason=Reason.POLICY_DENY_RULE if denies else Reason.FORWARDED,
            origin=str(self.origin),
            text=f"{_VERB[self.verdict]} by {self.place}",
        )

    @cached_property
    def isolation(self) -> RuleText:
        """What the default deny of its subjects stands for."""
        return RuleText(
            policy=self.policy,
            index=self.index,
            direction=self.direction,
            tier=Tier.NORMAL,
            verdict=Verdict.DENY,
            precedence=DEFAULT_PRECEDENCE,
            reason=Reason.POLICY_DENIED,
            origin=str(self.origin),
            text=f"no rule allows this; isolated by {self.origin if self.origin.file else self.place}",
        )

    @property
    def place(self) -> str:
        """The policy and where the rule stands: `backend-access, web.yaml:12`."""
        return f"{self.policy.rpartition('/')[2]}, {self.origin if self.origin.file else 'built in'}"

    @property
    def sequence(self) -> tuple[Origin, str, int]:
        """Which of several rules that would decide alike is named: the one written first."""
        return (self.origin, self.policy, self.index)

    @cached_property
    def prefixes(self) -> frozenset[Network]:
        """All prefixes that the datapath must know for this rule to be exact."""
        return self.peers.prefixes | frozenset(self.subject.prefixes)

    def __hash__(self) -> int:
        return hash((self.policy, self.index, self.direction))


def is_host(labels: Labels) -> bool:
    """Whether these are the labels of the node itself."""
    return Reserved.HOST.label in labels


_VERB: Final = {Verdict.ALLOW: "allowed", Verdict.DENY: "denied", Verdict.PASS: "passed on"}


@dataclass(frozen=True)
class Policy:
    """One policy document. `text` is the document as written, for people to see what is applied; `text_line` the line
    of its file that it begins with, so that an origin's line is found in it.

    A CIDR group is applied, replaced and deleted as policies are; it has a `group` and no rules.
    """

    kind: str
    namespace: str
    name: str
    rules: tuple[Rule, ...]
    origin: Origin
    text: str = ""
    text_line: int = 1
    group: CidrGroup | None = None

    @property
    def shadow(self) -> bool:
        """Whether it is applied without being in force."""
        return any(rule.staged for rule in self.rules)

    @property
    def staged(self) -> Policy:
        """The policy as it is judged beside those in force."""
        return replace(self, rules=tuple(replace(rule, staged=True) for rule in self.rules))

    @property
    def uid(self) -> str:
        """kind/namespace/name; the namespace of a clusterwide policy is empty."""
        return f"{self.kind}/{self.namespace}/{self.name}"


def default_allow(direction: Direction) -> RuleText:
    """What decides where nothing isolates: the last entry of the last tier."""
    return RuleText(
        policy="",
        index=0,
        direction=direction,
        tier=Tier.BASELINE,
        verdict=Verdict.ALLOW,
        precedence=DEFAULT_PRECEDENCE,
        reason=Reason.FORWARDED,
        origin="",
        text="allowed by default: no policy isolates it",
    )
