"""Who is asked about: names, addresses, entities and prefixes as people write them, found in a world."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from ringfence.errors import BadInput, NotFound
from ringfence.identity.prefixes import inside
from ringfence.labels import DEFAULT_NAMESPACE, NAMESPACE_KEY, NAMESPACE_LABELS, Labels
from ringfence.policy.case import PARTY_ENTITIES, Party, parse_party
from ringfence.policy.explanation.explain import MOST_MISSES, Explainer, Question
from ringfence.policy.findings import nearest
from ringfence.policy.world import Actor, World, place_parties
from ringfence.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Asked:
    """One end: `name` as a person writes it; an end of a flow that was seen also has an address and labels."""

    name: str
    address: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """A question in a world, and what has to be said of how it was read."""

    question: Question
    notes: tuple[str, ...]


def place_question(
    world: World, source: Asked, destination: Asked, traffic: Traffic, source_port: int | None = None
) -> Placed:
    """Find both ends. Raises NotFound for a workload that is not there, BadInput for what is no end."""
    ends, notes = [], []
    for asked in (source, destination):
        party, note = _party(world, asked)
        ends.append(party)
        notes += [note] if note else []
    placed = place_parties(world, ends)
    question = Question(placed.actor(ends[0]), placed.actor(ends[1]), traffic, source_port)
    return Placed(question, tuple(notes))


def place_end(world: World, asked: Asked) -> Actor:
    """Find one end. Raises as `place_question`."""
    party, _ = _party(world, asked)
    return place_parties(world, [party]).actor(party)


def _party(world: World, asked: Asked) -> tuple[Party, str]:
    if asked.address or asked.labels:
        return _seen(world, asked)
    if "/" in asked.name and asked.name.rpartition("/")[2].isdigit():
        return _of_prefix(world, asked.name)
    found = _named(world, asked.name)
    if found:
        return Party(pod=found), ""
    try:
        party = parse_party(asked.name)
    except ValueError as error:
        raise BadInput(str(error)) from error
    if party.pod:
        raise _unknown(asked.name, world.actors)
    return party, ""


def _named(world: World, name: str) -> str:
    """The actor that a name means: written whole, or without the namespace `default`, or with what its labels say."""
    if name in world.actors:
        return name
    if f"{DEFAULT_NAMESPACE}/{name}" in world.actors:
        return f"{DEFAULT_NAMESPACE}/{name}"
    namespace, _, bare = name.rpartition("/")
    actor = world.actors.get(bare)
    return bare if actor is not None and namespace and actor.labels.namespace == namespace else ""


def _unknown(name: str, actors: Iterable[str]) -> NotFound:
    known = sorted(each for each in actors if " " not in each)
    bare = name.rpartition("/")[2]
    same = [each for each in known if each.rpartition("/")[2] == bare]
    like = same or nearest(name if "/" in name else f"{DEFAULT_NAMESPACE}/{name}", known)
    like = like or [each for each in known if nearest(bare, [each.rpartition("/")[2]])][:3]
    hint = f"; did you mean {' or '.join(like)}?" if like else f"; known are {', '.join(known[:5]) or 'none'}"
    return NotFound(f"there is no workload {name}{hint}")


def _of_prefix(world: World, text: str) -> tuple[Party, str]:
    """One address of a prefix stands for it; where rules tell parts of it apart, that is said."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is no prefix: {error}") from error
    address = network.network_address + (1 if network.num_addresses > 2 else 0)
    finer = {each for rule in world.rules for each in rule.prefixes if inside(each, network) and each != network}
    listed = ", ".join(map(str, sorted(finer, key=str)[:3]))
    note = f"{text} is asked about as {address}"
    return Party(address=address), f"{note}; policies tell parts of it apart: {listed}" if finer else note


def _seen(world: World, asked: Asked) -> tuple[Party, str]:
    """An end of a flow: by its name, its address, or its labels, whichever the world knows."""
    found = _named(world, asked.name) if asked.name else ""
    if found:
        return Party(pod=found), ""
    try:
        address, labels = ip_address(asked.address) if asked.address else None, Labels.parse(asked.labels)
    except ValueError as error:
        raise BadInput(str(error)) from error
    owner = world.owners.get(address) if address is not None else None
    if owner is not None:
        return Party(pod=owner), ""
    if labels.namespace is not None:
        alike = next((name for name, actor in world.actors.items() if actor.labels.texts() == labels.texts()), None)
        return (Party(pod=alike), "") if alike else _by_labels(labels, asked)
    entity = next((each.key for each in labels.from_source("reserved") if each.key in PARTY_ENTITIES), "")
    if address is None and not entity:
        raise _unknown(asked.name, world.actors)
    if address is not None and entity in {"", "world", "world-ipv4", "world-ipv6"}:
        return Party(address=address), ""
    return Party(entity=entity), ""


def _by_labels(labels: Labels, asked: Asked) -> tuple[Party, str]:
    own = [each for each in labels if each.key != NAMESPACE_KEY and not each.key.startswith(NAMESPACE_LABELS)]
    party = Party(labels=tuple(map(str, own)), namespace=labels.namespace or DEFAULT_NAMESPACE)
    return party, f"{asked.name or asked.address} is no workload known here: it is asked about by the labels it had"


def explain_in(
    world: World,
    source: Asked,
    destination: Asked,
    traffic: Traffic,
    source_port: int | None = None,
    *,
    most: int = MOST_MISSES,
) -> dict[str, Any]:
    """The whole answer as a document: both ends found, explained, with what has to be said of how it was read."""
    placed = place_question(world, source, destination, traffic, source_port)
    explanation = Explainer(world).explain(placed.question, most)
    return {**explanation.to_dict(), "notes": list(placed.notes)}
