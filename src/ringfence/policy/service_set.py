"""The services that there are, by what policies call them, and whom a rule that names services means.

A service stands for its backends: for the workloads that its selector selects in its namespace, or, without a
selector, for the addresses of its slices, whosever they are (Cilium: pkg/policy/k8s/service.go, which takes those
addresses for outside ones only; here a service that leads to a workload by its address means that workload).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from ringfence.identity.prefixes import Block, Network, host_network
from ringfence.labels import NAMESPACE_KEY
from ringfence.policy.rule import Peers, Rule, ServiceRef
from ringfence.policy.services import EndpointSlice, Service
from ringfence.selector import Operator, Requirement, Selector

ServiceObject = Service | EndpointSlice
_KIND: Final = "Service/"


class ServiceSet:
    """Services and slices by uid; one of the same uid is replaced."""

    def __init__(self, objects: Iterable[ServiceObject] = ()) -> None:
        self._services: dict[str, Service] = {}  # by path
        self._named: dict[str, set[str]] = {}  # name -> paths
        self._slices: dict[str, dict[str, EndpointSlice]] = {}  # service's path -> uid -> slice
        self._slice_owner: dict[str, str] = {}
        for each in objects:
            self.put(each)

    def __len__(self) -> int:
        return len(self._services)

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())

    def copy(self) -> ServiceSet:
        """The same services, which later changes of this set do not change; in less time than putting each in."""
        found = ServiceSet()
        found._services = dict(self._services)
        found._named = {name: set(paths) for name, paths in self._named.items()}
        found._slices = {path: dict(slices) for path, slices in self._slices.items()}
        found._slice_owner = dict(self._slice_owner)
        return found

    @property
    def objects(self) -> list[ServiceObject]:
        """All services and all slices."""
        return [*self._services.values(), *(each for slices in self._slices.values() for each in slices.values())]

    def service(self, path: str) -> Service | None:
        """The service of this namespace/name."""
        return self._services.get(path)

    def slices(self, path: str) -> list[EndpointSlice]:
        """The slices of the service of this namespace/name, which need not be there itself."""
        return list(self._slices.get(path, {}).values())

    def get(self, uid: str) -> ServiceObject | None:
        """The service or slice of a uid."""
        if uid.startswith(_KIND):
            return self.service(uid.removeprefix(_KIND))
        return self._slices.get(self._slice_owner.get(uid, ""), {}).get(uid)

    def put(self, what: ServiceObject) -> list[str]:
        """Take it in. Returns the namespace/name of each service that it makes a difference to."""
        if isinstance(what, Service):
            self._services[what.path] = what
            self._named.setdefault(what.name, set()).add(what.path)
            return [what.path]
        before = self.take_away(what.uid)
        owner = f"{what.namespace}/{what.service}"
        self._slices.setdefault(owner, {})[what.uid] = what
        self._slice_owner[what.uid] = owner
        return [*before, owner]

    def take_away(self, uid: str) -> list[str]:
        """Forget it if it is there. Returns the namespace/name of the service that it makes a difference to."""
        if uid.startswith(_KIND):
            path = uid.removeprefix(_KIND)
            self._services.pop(path, None)
            self._named.get(path.partition("/")[2], set()).discard(path)
            return [path]
        owner = self._slice_owner.pop(uid, None)
        if owner is None:
            return []
        self._slices[owner].pop(uid)
        if not self._slices[owner]:
            del self._slices[owner]
        return [owner]

    def meant(self, written: ServiceRef) -> list[Service]:
        """The services that a rule means so."""
        if written.selector is None and written.namespace:
            found = [self._services.get(f"{written.namespace}/{written.name}")]
        elif written.selector is None:
            found = [self._services[path] for path in sorted(self._named.get(written.name, ()))]
        else:
            found = list(self._services.values())
        return [each for each in found if each is not None and written.means(each.namespace, each.name, each.labels)]

    def resolve(self, rule: Rule) -> Rule:
        """The rule with the backends of the services that it names among its peers."""
        services = [service for written in rule.peers.services for service in self.meant(written)]
        if not services:
            return rule
        selectors = [selected_workloads(each) for each in services if each.selector]
        blocks = [Block(prefix) for each in services if not each.selector for prefix in self._addresses(each)]
        return replace(rule, peers=_joined(rule.peers, selectors, blocks))

    def _addresses(self, service: Service) -> Iterator[Network]:
        backends = [each for found in self.slices(service.path) for each in found.endpoints]
        return (host_network(address) for each in backends for address in each.addresses)


def selected_workloads(service: Service) -> Selector:
    """The workloads of its namespace with the labels that it wants, whatever they have them from."""
    wanted = [Requirement("any", key, Operator.IN, frozenset({value})) for key, value in service.selector]
    return Selector.of([*wanted, Requirement("k8s", NAMESPACE_KEY, Operator.IN, frozenset({service.namespace}))])


def _joined(peers: Peers, selectors: Iterable[Selector], blocks: Iterable[Block]) -> Peers:
    return replace(
        peers,
        selectors=tuple(dict.fromkeys((*peers.selectors, *selectors))),
        addresses=tuple(dict.fromkeys((*peers.addresses, *blocks))),
    )
