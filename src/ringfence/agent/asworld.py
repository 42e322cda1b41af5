"""What the agent has, as a world that the oracle can be asked about: its endpoints, its policies, the node.

So is what it had at an earlier time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ringfence.agent.commits.record import State
from ringfence.agent.store import PolicyFiles
from ringfence.engine import memory
from ringfence.engine.engine import Engine
from ringfence.engine.events import Address, Workload
from ringfence.identity.reserved import Reserved
from ringfence.policy.builtin import Settings
from ringfence.policy.manifest import container_ports
from ringfence.policy.rule import Policy
from ringfence.policy.service_set import ServiceSet
from ringfence.policy.world import Actor, World
from ringfence.service import stored


def world_of(engine: Engine) -> World:
    """The endpoints and policies as they are now; what changes later does not change the world."""
    workloads = [each.workload for each in engine.endpoints]
    services = engine.state.services.copy()
    return _world(engine.state.policies, workloads, engine.nodes, engine.state.settings, services)


def world_then(state: State, engine: Engine) -> World:
    """The endpoints and policies of a state of long ago; settings and the node's addresses are those of now."""
    workloads = [memory.read_workload(fields) for _, fields in state.items(memory.ENDPOINT)]
    services = ServiceSet(stored.read(fields) for _, fields in state.items(memory.SERVICE))
    return _world(PolicyFiles().read(state), workloads, engine.nodes, engine.state.settings, services)


def _world(
    policies: Iterable[Policy],
    workloads: Collection[Workload],
    nodes: frozenset[Address],
    settings: Settings,
    services: ServiceSet,
) -> World:
    everyone = {
        each.name: Actor(each.name, each.labels, each.addresses, local=True, ports=tuple(container_ports(each.labels)))
        for each in workloads
    }
    node = tuple(nodes - {address for each in workloads for address in each.addresses})
    host = Actor("the node", settings.host_labels, node, reserved=Reserved.HOST)
    actors = {**everyone, host.name: host}
    placed = (host,) if node else ()
    return World(tuple(policies), {}, actors, settings, nodes=placed, services=services)
