"""Connections that were seen: who opened them to whom, of what kind, how often, and where the first is told.

Millions of recorded flows are few distinct connections; everything behind this file works on these. An end is a
workload by its labels, something with a reserved identity, or an address of the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Final, NamedTuple

from ringfence.identity.prefixes import Address
from ringfence.identity.reserved import RESERVED_LABELS, Reserved
from ringfence.labels import Labels, workload_labels
from ringfence.policy.world import Actor, outside_labels
from ringfence.traffic import Traffic

#: Reserved identities that stand for the world; their ends are known by address.
_WORLD: Final = frozenset({"world", "world-ipv4", "world-ipv6"})
#: Of an end with several reserved labels the first of these is meant: an API server's node is more than a node.
_ENTITIES: Final = ("kube-apiserver", "host", "remote-node", "init", "ingress", "health", "unmanaged")


class EndKind(Enum):
    """What an end is to policies."""

    WORKLOAD = "workload"
    ENTITY = "entity"
    WORLD = "world"


@dataclass(frozen=True)
class End:
    """One end of a connection. `name` is for people: the first workload seen with these labels, or the address.

    Ends are equal by kind, labels and address, whatever their name.
    """

    kind: EndKind
    labels: Labels
    address: Address
    name: str = field(compare=False, default="")

    @classmethod
    def of(cls, labels: Labels, address: Address, name: str = "") -> End:
        """The end that labels and address of a flow describe; without labels it is the world's."""
        reserved = {label.key for label in labels.from_source("reserved")}
        if reserved & _WORLD or not any(label.source != "cidr" for label in labels):
            return cls(EndKind.WORLD, outside_labels([address]), address, str(address))
        if not reserved:
            own = labels if labels.namespace else workload_labels(labels)
            return cls(EndKind.WORKLOAD, own, address, name or str(address))
        return cls(EndKind.ENTITY, labels, address, f"{' '.join(sorted(reserved))} ({address})")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Worked out once: an end is looked up for every flow that it has."""
        return hash((self.labels, self.address))

    @property
    def entity(self) -> str:
        """What policies call an end of a reserved identity; empty where they have no word for it."""
        held = {label.key for label in self.labels.from_source("reserved")}
        return next((each for each in _ENTITIES if each in held), "")

    @cached_property
    def actor(self) -> Actor:
        """The end as the evaluator knows it: every workload is judged, wherever it ran."""
        reserved = None
        if self.kind is EndKind.ENTITY and self.entity:
            reserved = Reserved[self.entity.upper().replace("-", "_")]
        return Actor(
            self.name,
            RESERVED_LABELS[reserved] | self.labels if reserved is not None else self.labels,
            (self.address,),
            local=self.kind is EndKind.WORKLOAD,
            outside=self.kind is EndKind.WORLD,
            reserved=reserved,
        )


class Connection(NamedTuple):
    """A distinct connection."""

    source: End
    destination: End
    traffic: Traffic

    def __str__(self) -> str:
        return f"{self.source.name} -> {self.destination.name} {self.traffic}"


@dataclass(slots=True)
class Evidence:
    """How many flows showed a connection, and where the first of them stands (file:line, or its time)."""

    flows: int
    first: str


@dataclass(frozen=True, slots=True)
class Observation:
    """One flow as a recording tells it. `passed_over` says why nothing is learned of it, or is empty."""

    connection: Connection | None
    where: str
    passed_over: str = ""


class Seen:
    """The distinct connections of many flows, in the order in which they were first seen."""

    def __init__(self, observations: Iterable[Observation] = ()) -> None:
        self.connections: dict[Connection, Evidence] = {}
        self.passed_over: dict[str, int] = {}
        for each in observations:
            self.add(each)

    def add(self, observation: Observation) -> None:
        connection = observation.connection
        if observation.passed_over or connection is None:
            self.passed_over[observation.passed_over] = self.passed_over.get(observation.passed_over, 0) + 1
            return
        evidence = self.connections.get(connection)
        if evidence is None:
            self.connections[connection] = Evidence(1, observation.where)
        else:
            evidence.flows += 1

    @property
    def flows(self) -> int:
        """How many flows the connections stand for."""
        return sum(evidence.flows for evidence in self.connections.values())

    def ends(self) -> Iterator[End]:
        """Every end, each once."""
        return iter(dict.fromkeys(end for each in self.connections for end in (each.source, each.destination)))
