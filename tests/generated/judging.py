"""Judges of generated worlds, held against each other packet by packet."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from ringfence.policy.builtin import Settings
from ringfence.policy.evaluate import Oracle, addresses
from ringfence.policy.test import CompiledWorld, Judge, MapJudge, compile_world
from ringfence.policy.world import Actor, World, build_world
from ringfence.traffic import Traffic, parse_traffic
from ringfence.verdict import Judgement
from tests.generated.pieces import Json
from tests.generated.worlds import PARTIES, parsed

Packet = tuple[Actor, Actor, Traffic]
JudgeFactory = Callable[[CompiledWorld], Judge]
#: On, before and behind every edge of the generated ranges of ports.
TRAFFIC: Final[tuple[Traffic, ...]] = tuple(
    map(parse_traffic, ("1/TCP", "69/TCP", "70/TCP", "80/TCP", "81/TCP", "90/TCP", "91/TCP", "8000/TCP", "8080/TCP",
                        "8192/TCP", "65535/TCP", "53/UDP", "80/UDP", "8080/UDP", "9/SCTP", "80/SCTP", "8/ICMP",
                        "0/ICMP", "128/ICMPv6", "129/ICMPv6"))
)  # fmt: skip
#: What most rules speak of; asked three times as often.
_OFTEN: Final = frozenset(map(parse_traffic, ("80/TCP", "8080/TCP", "53/UDP")))


@dataclass(frozen=True)
class Disagreement:
    """A packet on which a judge is of another mind than the oracle."""

    packet: Packet
    judge: str
    expected: Judgement
    found: Judgement

    def __str__(self) -> str:
        source, destination, traffic = self.packet
        expected, found = _told(self.expected), _told(self.found)
        return f"{source.name} -> {destination.name} {traffic}\n  oracle: {expected}\n  {self.judge}: {found}"


def _told(judgement: Judgement) -> str:
    """A judgement with the numbers of all rules that are tied."""
    told = []
    for each in judgement.decisions:
        rules = ", ".join(f"{text.policy}[{text.index}]" for text in each.tied)
        told.append(f"{each.direction.name} {each.verdict.name} by {rules}")
    return "; ".join(told) or "unjudged"


def packets(world: World, one_in: int = 1, seed: int = 0) -> Iterator[Packet]:
    """Packets between actors of a world of which a judge has something to say; of all, about one in so many.

    Which ones depends on names alone: a packet stays chosen while a world shrinks.
    """
    for source, destination in product(world.everyone(), repeat=2):
        if not source.local and not destination.local:
            continue
        for traffic in TRAFFIC:
            number = zlib.crc32(f"{source.name} {destination.name} {traffic} {seed}".encode())
            if number % one_in < (3 if traffic in _OFTEN else 1) and can_travel(source, destination, traffic):
                yield source, destination, traffic


def can_travel(source: Actor, destination: Actor, traffic: Traffic) -> bool:
    """Whether the ends have addresses of a family that carries the traffic."""
    try:
        addresses(source, destination, traffic)
    except ValueError:
        return False
    return True


def world_of(documents: list[Json], settings: Settings | None = None) -> World:
    """A generated world with everybody in it."""
    return build_world(parsed(documents), PARTIES, settings or Settings())


def disagreements(
    world: World, asked: Iterable[Packet], judges: Iterable[JudgeFactory] = (MapJudge,)
) -> Iterator[Disagreement | None]:
    """For each packet and judge the disagreement with the oracle, or None."""
    oracle, compiled = Oracle(world), compile_world(world)
    others = [judge(compiled) for judge in judges]
    for packet in asked:
        expected = oracle.judge(*packet)
        for judge in others:
            found = judge.judge(*packet)
            yield None if found == expected else Disagreement(packet, judge.name, expected, found)


def agreed(world: World, asked: Iterable[Packet], judges: Iterable[JudgeFactory] = (MapJudge,)) -> int:
    """How many verdicts were compared. AssertionError names the first that differs."""
    verdicts = 0
    for difference in disagreements(world, asked, judges):
        assert difference is None, str(difference)
        verdicts += 1
    return verdicts
