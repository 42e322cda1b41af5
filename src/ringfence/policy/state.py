"""The policy state: policies, endpoints and addresses in; what the kernel should hold out.

The one place where allocation, selectors, prefixes, ipcache and map state are kept in step. Every change is made by a
method; `take_changes` then tells what has become different since it was last asked, which is what one commit writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringfence.errors import NotFound
from ringfence.identity.allocator import Allocator
from ringfence.identity.ipcache import Ipcache, Known
from ringfence.identity.prefixes import Address, Network, PrefixTable, host_network
from ringfence.identity.reserved import RESERVED_LABELS, WHOLE_FAMILY, Reserved
from ringfence.identity.selectors import SelectorCache
from ringfence.labels import Labels
from ringfence.policy.builtin import LINK_LOCAL, Settings, builtin_policies
from ringfence.policy.mapstate import MapState, PolicyKey
from ringfence.policy.repository import Repository, RuleDelta
from ringfence.policy.resolve import Resolver
from ringfence.policy.rule import Origin, Policy, Rule
from ringfence.policy.service_set import ServiceSet
from ringfence.verdict import RuleText

DEFAULT_SETTINGS = Settings()


#: What would be applied, by uid; None for a policy that would be gone.
Overlay = Mapping[str, Policy | None]


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from before; None stands for gone. `identities` maps numbers to their labels."""

    policy: Mapping[PolicyKey, RuleText | None]
    peers: Mapping[Network, Known | None]
    identities: Mapping[int, Labels | None]

    def __bool__(self) -> bool:
        return bool(self.policy or self.peers or self.identities)


class PolicyState:
    """Policies times endpoints, kept exact. An allocator may bring numbers from before a restart."""

    def __init__(self, settings: Settings = DEFAULT_SETTINGS, allocator: Allocator | None = None) -> None:
        self.allocator = allocator or Allocator()
        #: Whoever changes them says so: `services_changed`.
        self.services = ServiceSet()
        self.policies = Repository(self.services)
        #: The policies that are judged beside those in force; none while nothing is staged.
        self.staged = Repository(self.services)
        self._overlay: Overlay | None = None
        self._staging = False
        self.prefixes = PrefixTable()
        self.selectors = SelectorCache()
        self.ipcache = Ipcache(self.prefixes)
        self._resolver = Resolver(self.selectors, self.prefixes)
        self._settings = settings
        self._builtin = builtin_policies(settings)
        self._endpoints: Counter[int] = Counter()
        self._nodes: dict[Network, Reserved] = {}
        self._touched: dict[int, Labels | None] = {}
        self._host_rules = 0
        for number, labels in {**RESERVED_LABELS, Reserved.HOST: settings.host_labels}.items():
            self._resolver.add_identity(number, labels)
        for policy in self._builtin:
            self._change_rules(RuleDelta(added=policy.rules))
        self.ipcache.assign(LINK_LOCAL, Reserved.HOST)
        for prefix in settings.workload_prefixes:
            self.ipcache.assign(prefix, Reserved.UNMANAGED)

    @property
    def settings(self) -> Settings:
        """What the host decides for itself."""
        return self._settings

    @property
    def map(self) -> MapState:
        return self._resolver.map

    @property
    def subjects(self) -> frozenset[int]:
        """The identities that have an endpoint on this host, and the node's own while a policy selects it."""
        return frozenset(self._resolver.subjects)

    @property
    def builtin(self) -> tuple[Policy, ...]:
        """The policies that no file says."""
        return tuple(self._builtin)

    def apply(self, policies: Iterable[Policy]) -> None:
        """Add policies; one with the uid of another takes its place, the last of several counts."""
        given = list(policies)
        self._change_rules(_in_force(self.policies.change(put=given)))
        self._restage({policy.uid for policy in given})

    def delete(self, uids: Iterable[str]) -> None:
        """Raises NotFound, and deletes nothing, if one of the uids is not applied."""
        wanted = list(dict.fromkeys(uids))
        missing = [uid for uid in wanted if uid not in self.policies]
        if missing:
            raise NotFound(f"no such policy is applied: {', '.join(missing)}")
        self._change_rules(_in_force(self.policies.change(remove=wanted)))
        self._restage(wanted)

    def services_changed(self) -> None:
        """Rules that speak of services mean what `services` says now."""
        self._change_rules(_in_force(self.policies.services_changed()))
        self._change_rules(self.staged.services_changed())

    @property
    def overlay(self) -> Overlay | None:
        """What is staged."""
        return self._overlay

    def stage(self, overlay: Overlay | None) -> None:
        """Judge, beside the policies in force, what would be in force with these: by uid, None for one that would be
        gone. Without an overlay only shadow policies are judged so, if there are any.
        """
        before, self._overlay = self._overlay or {}, overlay
        self._restage({*before, *(overlay or {})})

    def _restage(self, uids: Iterable[str]) -> None:
        """Bring the staged policies to what these uids have become."""
        wanted = self._overlay is not None or any(policy.shadow for policy in self.policies)
        if wanted and not self._staging:
            self._staging = True
            self._resolver.stage(on=True)
            self._change_rules(RuleDelta(added=tuple(rule for each in self._builtin for rule in each.staged.rules)))
            uids = {*(policy.uid for policy in self.policies), *(self._overlay or {})}
        elif self._staging and not wanted:
            self._change_rules(self.staged.change(remove=[policy.uid for policy in self.staged]))
            self._change_rules(RuleDelta(removed=tuple(rule for each in self._builtin for rule in each.staged.rules)))
            self._resolver.stage(on=False)
            self._staging = False
        if wanted:
            would_be = {uid: self._would_be(uid) for uid in sorted(uids)}
            put = [policy.staged for policy in would_be.values() if policy is not None]
            gone = [uid for uid, policy in would_be.items() if policy is None and uid in self.staged]
            self._change_rules(self.staged.change(put=put, remove=gone))

    def _would_be(self, uid: str) -> Policy | None:
        overlay = self._overlay or {}
        return overlay[uid] if uid in overlay else self.policies.get(uid)

    def add_endpoint(self, labels: Labels, addresses: Iterable[Address]) -> int:
        """An endpoint of this host has come. Returns its identity."""
        identity = self.acquire_identity(labels)
        self._endpoints[identity] += 1
        if self._endpoints[identity] == 1:
            self._resolver.add_subject(identity)
        for address in addresses:
            self.ipcache.assign(host_network(address), identity)
        return identity

    def remove_endpoint(self, identity: int, addresses: Iterable[Address]) -> None:
        """An endpoint of this host has gone. Its addresses that have come to another since are left alone."""
        for network in map(host_network, addresses):
            if self.ipcache.assigned(network) == identity:
                self.ipcache.unassign(network)
        self._endpoints[identity] -= 1
        if not self._endpoints[identity]:
            del self._endpoints[identity]
            self._resolver.remove_subject(identity)
        self.release_identity(identity)

    def move_endpoint(
        self, identity: int, old_addresses: Iterable[Address], labels: Labels, addresses: Iterable[Address]
    ) -> int:
        """An endpoint has other labels or addresses. Returns its new identity."""
        wanted = list(addresses)
        gone = [address for address in old_addresses if address not in wanted]
        new = self.add_endpoint(labels, wanted)
        self.remove_endpoint(identity, gone)
        return new

    def acquire_identity(self, labels: Labels) -> int:
        """The number of labels, one use more: for peers that live elsewhere."""
        number, new = self.allocator.allocate(labels)
        if new and number not in RESERVED_LABELS:
            self._resolver.add_identity(number, labels)
            self._touched[number] = labels
        return number

    def release_identity(self, number: int) -> None:
        if self.allocator.release(number):
            self._resolver.remove_identity(number)
            self._touched[number] = None

    def set_nodes(self, addresses: Iterable[Address], others: Iterable[Address] = ()) -> None:
        """The addresses of the node itself, and of other nodes, all of them."""
        wanted = dict.fromkeys(map(host_network, others), Reserved.REMOTE_NODE)
        wanted |= dict.fromkeys(map(host_network, addresses), Reserved.HOST)
        for network, owner in self._nodes.items() - wanted.items():
            self._remove_node(network, owner)
        for network, owner in wanted.items() - self._nodes.items():
            self._add_node(network, owner)
        self._nodes = wanted

    def _add_node(self, network: Network, owner: Reserved) -> None:
        """Where prefixes are to mean nodes, a node's address has a prefix's identity, which says that it is a node."""
        if self._settings.policy_cidr_match_mode != "nodes":
            self.ipcache.assign(network, owner)
            return
        self.prefixes.owners[network] = owner
        self._use_prefix(network)
        self._relabel(network)
        self.ipcache.assign(network, self.prefixes.number(network))

    def _remove_node(self, network: Network, owner: Reserved) -> None:  # noqa: ARG002 - an item of what was added
        self.ipcache.unassign(network)
        if self.prefixes.owners.pop(network, None) is not None:
            self._relabel(network)
            self._drop_prefix(network)

    def labels(self, number: int) -> Labels | None:
        """The labels of an identity in use, None for a number that stands for nothing."""
        return self.selectors.labels(number) if number in self.selectors else None

    def identities(self) -> dict[int, Labels]:
        """All identities in use with their labels, reserved and prefixes' ones too."""
        return {number: self.selectors.labels(number) for number in self.selectors}

    def take_changes(self) -> Changes:
        """What has become different since the last call."""
        touched, self._touched = self._touched, {}
        return Changes(self._resolver.map.take_changes(), self.ipcache.take_changes(), touched)

    def _change_rules(self, delta: RuleDelta) -> None:
        """First what comes, then what goes: a prefix that is used before and after keeps its number.

        Prefixes come before rules, so that each rule finds all that it means at once.
        """
        if self._settings.enforcement == "never":
            return
        self._count_host_rules(sum(map(self._protects_host, delta.added)))
        for rule in sorted(delta.added, key=_written):
            for prefix in sorted(rule.prefixes, key=_network_order):
                self._use_prefix(prefix)
        for rule in sorted(delta.added, key=_written):
            self._resolver.add_rule(rule)
        for rule in sorted(delta.removed, key=_written, reverse=True):
            self._resolver.remove_rule(rule)
            for prefix in rule.prefixes:
                self._drop_prefix(prefix)
        self._count_host_rules(-sum(map(self._protects_host, delta.removed)))

    def _protects_host(self, rule: Rule) -> bool:
        return rule.for_host and rule.subject.matches(self._settings.host_labels)

    def _count_host_rules(self, more: int) -> None:
        """The node is judged from the first rule that protects it to the last."""
        before, self._host_rules = self._host_rules, self._host_rules + more
        if self._host_rules and not before:
            self._resolver.add_subject(Reserved.HOST)
        elif before and not self._host_rules:
            self._resolver.remove_subject(Reserved.HOST)

    def _use_prefix(self, prefix: Network) -> None:
        number, new = self.allocator.allocate_prefix(prefix)
        if not new:
            return
        self._resolver.add_prefix(prefix, number)
        if prefix not in WHOLE_FAMILY:
            self._resolver.add_identity(number, self.prefixes.labels(prefix))
            self._touched[number] = self.prefixes.labels(prefix)
        self._relabel_inside(prefix)
        self.ipcache.prefix_changed(prefix)

    def _drop_prefix(self, prefix: Network) -> None:
        number = self.prefixes.number(prefix)
        if not self.allocator.release_prefix(prefix):
            return
        self._resolver.remove_prefix(prefix)
        if prefix not in WHOLE_FAMILY:
            self._resolver.remove_identity(number)
            self._touched[number] = None
        self._relabel_inside(prefix)
        self.ipcache.prefix_changed(prefix)

    def _relabel_inside(self, prefix: Network) -> None:
        """The identities of prefixes inside one that has come or gone carry its label or no longer do."""
        for inner in self.prefixes.networks.inside(prefix):
            if inner != prefix:
                self._relabel(inner)

    def _relabel(self, prefix: Network) -> None:
        number, labels = self.prefixes.number(prefix), self.prefixes.labels(prefix)
        self._resolver.relabel(number, labels)
        self._touched[number] = labels


def _in_force(delta: RuleDelta) -> RuleDelta:
    """Without the rules of shadow policies, which are applied and not in force."""
    added, removed = ([rule for rule in rules if not rule.staged] for rules in (delta.added, delta.removed))
    return RuleDelta(tuple(added), tuple(removed))


def _written(rule: Rule) -> tuple[Origin, str, int]:
    """In the order written the rule that is named comes first and stays; in the reverse order it goes last."""
    return rule.sequence


def _network_order(network: Network) -> tuple[int, int, int]:
    return network.version, network.prefixlen, int(network.network_address)
