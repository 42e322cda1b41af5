"""What the agent has, as a world that the oracle can be asked about: its endpoints, its policies, the node."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.engine.engine import Engine
from ringfence.identity.reserved import RESERVED_LABELS, Reserved
from ringfence.labels import Labels
from ringfence.policy.manifest import ContainerPort
from ringfence.policy.world import Actor, World


def world_of(engine: Engine) -> World:
    """The endpoints and policies as they are now; what changes later does not change the world."""
    workloads = [each.workload for each in engine.endpoints]
    everyone = {
        each.name: Actor(each.name, each.labels, each.addresses, local=True, ports=tuple(_ports(each.labels)))
        for each in workloads
    }
    node = tuple(engine.nodes - {address for each in workloads for address in each.addresses})
    host = Actor("the node", RESERVED_LABELS[Reserved.HOST], node, reserved=Reserved.HOST)
    state = engine.state
    actors = {**everyone, host.name: host}
    return World(tuple(state.policies), {}, actors, state.settings, nodes=(host,) if node else ())


def _ports(labels: Labels) -> Iterator[ContainerPort]:
    """The named ports that a workload's labels carry."""
    for label in labels.ports:
        name, _, protocol = label.key.rpartition("/")
        yield from (ContainerPort(int(number), protocol, name) for number in label.value.split(","))
