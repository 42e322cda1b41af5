"""The worlds of all spec files, one after another in one state: what each is does not depend on those before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ringfence.identity.prefixes import Address, host_network
from ringfence.identity.reserved import Reserved
from ringfence.labels import Labels
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.state import PolicyState
from ringfence.policy.test import compile_world, world_of_tests
from ringfence.policy.world import World
from tests.sequences.canonical import canonical

SPEC = Path(__file__).parents[1] / "spec"
ORDERS = (1, 2, 3)
NODES = (Reserved.HOST, Reserved.REMOTE_NODE)


def worlds() -> list[World]:
    """Those of the spec whose node has no labels of its own: they are a setting, which a state keeps for its life."""
    found = (
        world_of_tests(parse_documents([Source(path.name, path.read_text("utf-8"))]))
        for path in sorted(SPEC.glob("*.yaml"))
    )
    return [world for world in found if not world.settings.node_labels]


class Host:
    """One state that is taken from world to world by what differs between them."""

    def __init__(self) -> None:
        self.state = PolicyState()
        self.endpoints: dict[str, tuple[int, Labels, tuple[Address, ...]]] = {}
        self.reserved: list[Address] = []

    def become(self, world: World) -> None:
        """Pods that keep name, labels and addresses stay; a policy of the same name is replaced."""
        actors = {actor.name: actor for actor in reversed(world.everyone())}  # one address of a pod is an actor too
        self.state.set_nodes([])  # an address is a node's or a pod's; the engine sees to that
        for address in self.reserved:
            self.state.ipcache.unassign(host_network(address))
        for name, (identity, labels, known) in list(self.endpoints.items()):
            actor = actors.get(name)
            if actor is None or not actor.local or (actor.labels, actor.addresses) != (labels, known):
                self.state.remove_endpoint(identity, known)
                del self.endpoints[name]
        self.state.apply(world.policies)
        self.serve(world)
        wanted = {policy.uid for policy in world.policies}
        self.state.delete([policy.uid for policy in self.state.policies if policy.uid not in wanted])
        for actor in actors.values():
            if actor.local and actor.name not in self.endpoints:
                identity = self.state.add_endpoint(actor.labels, actor.addresses)
                self.endpoints[actor.name] = identity, actor.labels, actor.addresses
        self.reserved = []
        for actor in actors.values():
            if not actor.local and actor.reserved is not None and actor.reserved not in NODES:
                for address in actor.addresses:
                    self.state.ipcache.assign(host_network(address), actor.reserved)
                self.reserved += actor.addresses
        self.state.set_nodes(*(addresses(world, kind) for kind in NODES))

    def serve(self, world: World) -> None:
        """Services and slices are those of the world."""
        objects = {each.uid: each for each in world.services.objects}
        for gone in [each.uid for each in self.state.services.objects if each.uid not in objects]:
            self.state.services.take_away(gone)
        for each in objects.values():
            self.state.services.put(each)
        self.state.services_changed()


def addresses(world: World, kind: Reserved) -> list[Address]:
    """The addresses of nodes; link-local ones are the host's anyway."""
    found = [address for actor in world.everyone() if actor.reserved == kind for address in actor.addresses]
    return [address for address in dict.fromkeys(found) if not address.is_link_local]


@pytest.mark.parametrize("order", ORDERS)
def test_worlds_do_not_depend_on_those_before(order: int) -> None:
    """Whatever came before, a state has the entries and the ipcache that the same world has on a fresh host."""
    sequence = worlds()
    random.Random(order).shuffle(sequence)
    host = Host()
    for world in sequence:
        host.become(world)
        entries, peers = canonical(host.state)
        fresh_entries, fresh_peers = canonical(compile_world(world).state)
        assert peers == fresh_peers
        assert entries == fresh_entries
