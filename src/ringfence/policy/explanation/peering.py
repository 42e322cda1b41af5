"""Why a rule does not mean a peer: of the ways in which the rule says whom it means, the one that is nearest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from ringfence.identity.prefixes import Address, Block, host_network, inside
from ringfence.identity.reserved import WHOLE_FAMILY
from ringfence.labels import NAMESPACE_KEY
from ringfence.policy.compile import entity_selectors
from ringfence.policy.explanation.fault import Cost, Fault, Faults, Kind, weight
from ringfence.policy.explanation.selecting import Asking, count_missing, selector_faults
from ringfence.policy.rule import Peers, Rule
from ringfence.policy.world import Actor
from ringfence.selector import CIDR_SOURCE, Requirement, Selector

_CLUSTER: Final = frozenset(entity_selectors("cluster"))
_NAMES_LISTED: Final = 3
_BITS_NEAR: Final = 8


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a direction at one of its addresses. `way` is `from` or `to`."""

    actor: Actor
    address: Address

    @property
    def is_workload(self) -> bool:
        """Whether labels tell who it is: neither node nor outside."""
        return not self.actor.outside and self.actor.reserved is None

    @property
    def told(self) -> str:
        """Who it is to policies, for people who thought it was somebody else."""
        actor = self.actor
        if self.is_workload:
            return f"{actor.name} is a workload"
        if actor.reserved is None:
            return "the world is outside" if actor.name == "world" else f"{actor.name} is outside (world)"
        name = actor.reserved.label.key
        if "/" in actor.name:
            return f"{actor.name} shares the node's network and is the {name} to policies, whatever its labels"
        return f"{actor.name} is a node ({name})" if actor.name != name else f"{name} is no workload"


def count_unmeant(rule: Rule, peer: Peer) -> int:
    """How many things at least are wrong with a peer that a rule does not mean."""
    if not peer.is_workload or not rule.peers.selectors:
        return 1
    least = min(count_missing(selector, peer.actor.labels) for selector in rule.peers.selectors)
    return 1 if rule.peers.outside or rule.peers.addresses else max(least, 1)


def peer_faults(rule: Rule, peer: Peer) -> Faults | None:
    """What is wrong with a peer that a rule does not mean; None where no little change makes the rule mean it."""
    found = [*_by_selectors(rule, peer), *_by_blocks(rule.peers, peer), *_by_services(rule.peers)]
    return min(found, key=weight, default=None)


def _by_selectors(rule: Rule, peer: Peer) -> Iterator[Faults]:
    own = rule.policy.split("/")[1]
    for selector in rule.peers.selectors:
        if selector.mentions_source("reserved") or selector.mentions_source(CIDR_SOURCE) or not peer.is_workload:
            continue
        found = selector_faults(selector, peer.actor.labels, Asking(peer.actor.name, "peer", own))
        if found is not None:
            yield found
    entities = _entities(rule.peers)
    if entities:
        yield (Fault(Kind.WHO, Cost.WHO, f"{peer.told}, the rule means the entity {entities}"),)
    workloads = [each for each in rule.peers.selectors if not _of_entity(each)]
    if workloads and not peer.is_workload:
        yield (Fault(Kind.WHO, Cost.WHO, f"{peer.told}, the rule means workloads {_described(workloads[0])}"),)


def _entities(peers: Peers) -> str:
    """The entities that a rule names, as they are written."""
    found = set(peers.selectors)
    names = ["cluster"] if found >= _CLUSTER else []
    others = [each for each in peers.selectors if _of_entity(each) and not (names and each in _CLUSTER)]
    names += [_entity(requirement) for each in others for requirement in each.requirements]
    return " or ".join(dict.fromkeys(names))


def _entity(requirement: Requirement) -> str:
    """A family's part of the world is a prefix, but nobody wrote it so."""
    family = WHOLE_FAMILY.get(ip_network(requirement.key)) if requirement.source == CIDR_SOURCE else None
    return requirement.key if family is None else family.label.key


def _of_entity(selector: Selector) -> bool:
    return selector.mentions_source("reserved") or selector.mentions_source(CIDR_SOURCE)


def _described(selector: Selector) -> str:
    own = [each for each in selector.requirements if each.key != NAMESPACE_KEY]
    return f"with {', '.join(str(each).partition(':')[2] for each in own)}" if own else "of the cluster"


def _by_blocks(peers: Peers, peer: Peer) -> Iterator[Faults]:
    network = host_network(peer.address)
    for block in peers.outside:
        if peer.actor.outside or peer.actor.addressed:
            yield (_outside_block(block, peer),)
        elif network in block:
            yield (_not_meant(block, peer),)
        else:
            yield (_not_meant(block, peer), _outside_block(block, peer))
    for block in peers.addresses:
        yield (_outside_block(block, peer),)


def _by_services(peers: Peers) -> Iterator[Faults]:
    """Services whose backends are not among the peers have none."""
    if peers.services and not peers.selectors and not peers.addresses:
        named = " or ".join(map(str, peers.services))
        yield (Fault(Kind.WHO, Cost.WHO, f"the rule means {named}, which is not there or has no backends"),)


def _not_meant(block: Block, peer: Peer) -> Fault:
    """Cilium's prefixes mean what is outside, whatever the address."""
    if peer.is_workload:
        remedy = "prefixes of this kind mean addresses outside only; workloads are meant by their labels"
    else:
        remedy = "prefixes of this kind mean no nodes, unless the agent has --policy-cidr-match-mode=nodes"
    text = f"{peer.address} is in {block.prefix}, but {peer.told}: {remedy}"
    return Fault(Kind.ADDRESS, Cost.WORKLOAD_ADDRESS, text)


def _outside_block(block: Block, peer: Peer) -> Fault:
    network, prefix = host_network(peer.address), block.prefix
    where = str(peer.address) if str(peer.address) in peer.actor.name else f"{peer.address} of {peer.actor.name}"
    if network.version != prefix.version:
        text = f"{where} is IPv{network.version}, the rule names IPv{prefix.version} addresses only ({block})"
        return Fault(Kind.ADDRESS, Cost.PLACE, text)
    excepted = next((each for each in block.excepts if inside(network, each)), None)
    if excepted is not None:
        return Fault(Kind.ADDRESS, Cost.NEAR, f"{where} is in the except {excepted} of {prefix}")
    differing = (int(network.network_address) ^ int(prefix.network_address)) >> (
        network.max_prefixlen - prefix.prefixlen
    )
    cost = Cost.PLACE if differing.bit_length() <= _BITS_NEAR else Cost.ADDRESS
    return Fault(Kind.ADDRESS, cost, f"{where} is not in {block}")
