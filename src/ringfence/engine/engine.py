"""The engine: desired state in memory, and the commands that bring the kernel from what it holds to what is desired.

      events                                      commands
    ----------> PolicyState ---> wanted ---+----> Remember, WriteEndpoint, Commit,
                Endpoints                  |      ClearEndpoint, Detach, Attach
                entries by hand            |
                             actual (confirmed by `done`)

The order of the commands fails closed: what a restart needs is remembered first; a row is filled before a commit names
it and emptied once nothing does; an interface is hooked when its policy is active. An event that cannot be taken raises
and changes nothing; when a commit has failed, `undo` takes back what led to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ringfence.abi import Direction, Tier, Verdict
from ringfence.engine import memory
from ringfence.engine.actual import Actual
from ringfence.engine.commands import (
    Attach,
    ClearEndpoint,
    Command,
    Commit,
    Detach,
    Network,
    Peer,
    Remember,
)
from ringfence.engine.endpoints import Endpoint, Endpoints
from ringfence.engine.events import (
    Address,
    EndpointAdded,
    EndpointConfigured,
    EndpointDisconnected,
    EndpointLabelsChanged,
    EndpointRemoved,
    EntryDeleted,
    EntrySet,
    Event,
    NodeAddresses,
    PoliciesApplied,
    PoliciesDeleted,
    PoliciesStaged,
    Restored,
    ServicesApplied,
    ServicesDeleted,
    Together,
    Workload,
)
from ringfence.engine.known import Known
from ringfence.engine.manual import manual_rule, problem_of
from ringfence.engine.numbers import RuleNumbers
from ringfence.engine.services import Services
from ringfence.errors import BadInput, NotFound
from ringfence.identity.reserved import Reserved
from ringfence.policy.builtin import Settings
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.resolve import default_key
from ringfence.policy.rule import DEFAULT_PRECEDENCE
from ringfence.policy.state import PolicyState
from ringfence.service import stored
from ringfence.service.frontends import Member
from ringfence.service.maglev import DEFAULT_SIZE
from ringfence.verdict import RuleText

_DEFAULT_SETTINGS = Settings()


class Engine:
    """One host's engine. Commands that it has given are to be answered by `done` or `undo` before the next event."""

    def __init__(self, settings: Settings = _DEFAULT_SETTINGS, maglev_size: int = DEFAULT_SIZE) -> None:
        self.state = PolicyState(settings)
        self.endpoints = Endpoints()
        self.services = Services(self.state.services, maglev_size)
        self.numbers = RuleNumbers()
        self.manual: dict[PolicyKey, Verdict] = {}
        self.known = Known(self.numbers, self.endpoints)
        self.known.identity(Reserved.HOST, settings.host_labels)
        self.actual = Actual(self.numbers)
        self._nodes = NodeAddresses(frozenset())
        self._host_changed = True
        self._inverses: list[Event] = []
        self._remember: dict[tuple[str, str], object] = {}
        self._before: list[Command] = []
        self._after: list[Command] = []
        self._commit = Commit()
        self._take: Mapping[type[Event], Callable[[Any], list[Event]]] = {
            PoliciesApplied: self._apply_policies,
            PoliciesDeleted: self._delete_policies,
            PoliciesStaged: self._stage_policies,
            EndpointAdded: self._add_endpoint,
            EndpointLabelsChanged: self._change_labels,
            EndpointConfigured: self._configure,
            EndpointDisconnected: self._disconnect,
            EndpointRemoved: self._remove_endpoint,
            EntrySet: self._set_entry,
            EntryDeleted: self._delete_entry,
            ServicesApplied: self._apply_services,
            ServicesDeleted: self._delete_services,
            NodeAddresses: self._set_nodes,
            Together: self._take_together,
            Restored: self._restore,
        }

    def handle(self, event: Event) -> list[Command]:
        """Take an event; what is to be done about it, in order. Raises `RingfenceError` with nothing changed."""
        self.take(event)
        return self.commands()

    def take(self, event: Event) -> None:
        """Take an event; several may be taken before `commands`. Raises `RingfenceError` with nothing changed."""
        self._inverses[:0] = self._take[type(event)](event)

    def commands(self) -> list[Command]:
        """What is to be done about the events taken. What cannot be raises `RingfenceError` and is taken back."""
        try:
            self._collect()
            self._commit = self.actual.difference(self.wanted, self._peer, self.services.wanted)
        except BaseException:
            self.undo()
            raise
        for number in self._commit.rules:
            text = self.numbers.text(number)
            self._remember[memory.RULE, str(number)] = memory.write_rule(text) if text else None
        commands: list[Command] = [Remember(dict(self._remember))] if self._remember else []
        commands += self._before
        if self._commit:
            commands.append(self._commit)
        return commands + self._after

    def done(self) -> None:
        """The commands were carried out."""
        self.actual.confirm(self._commit)
        self.endpoints.settle()
        self._remember = {(memory.RULE, str(number)): None for number in self.numbers.forget()}
        self._reset()

    def undo(self) -> None:
        """The commands were not carried out, or taken back: the state is as before the events."""
        inverses = list(self._inverses)
        self._collect()
        self.known.reinstate(self.state.allocator)
        for event in inverses:
            self._take[type(event)](event)
        self._collect()
        self._remember = {}
        self._reset()

    def wanted(self, key: PolicyKey) -> RuleText | None:
        """The rule that the entry of a key is to name, None for no entry."""
        verdict = self.manual.get(key)
        return self.state.map.winner(key) if verdict is None else manual_rule(key, verdict)

    def isolated(self, identity: int, direction: Direction) -> bool:
        """Whether an identity's endpoints are enforced in a direction: only what a rule allows passes."""
        rules = self.state.map.wanted(default_key(identity, direction, Tier.NORMAL))
        return any(rule.verdict is Verdict.DENY and rule.precedence == DEFAULT_PRECEDENCE for rule in rules)

    @property
    def nodes(self) -> frozenset[Address]:
        """The node's own addresses, as last told."""
        return self._nodes.addresses

    def _reset(self) -> None:
        self._inverses, self._before, self._after, self._commit = [], [], [], Commit()
        self.known.settle()

    def _collect(self) -> None:
        """Note what has become different since it was last noted."""
        self._look_at_host()
        changes = self.state.take_changes()
        self.actual.doubt(changes.policy, changes.peers, self.services.take_changes())
        for number, labels in changes.identities.items():
            self.known.identity(number, labels)
            self._remember[memory.IDENTITY, str(number)] = labels.stored() if labels is not None else None

    def _look_at_host(self) -> None:
        """Services depend on who lives here, and node ports on the node's addresses."""
        if self._host_changed and self.services:
            self._host_changed = False
            members = [Member(each.workload.labels, each.workload.addresses) for each in self.endpoints]
            self.services.host_changed(self.nodes, members)

    def _peer(self, network: Network) -> Peer | None:
        known = self.state.ipcache.get(network)
        return Peer(*known, self.endpoints.row_at(network)) if known else None

    def _apply_policies(self, event: PoliciesApplied) -> list[Event]:
        replaced = [self.state.policies.get(policy.uid) for policy in event.policies]
        old = tuple(policy for policy in replaced if policy is not None)
        new = {policy.uid for policy in event.policies} - {policy.uid for policy in old}
        self.state.apply(event.policies)
        inverses: list[Event] = [PoliciesApplied(old)] if old else []
        return [*inverses, PoliciesDeleted(tuple(sorted(new)))] if new else inverses

    def _delete_policies(self, event: PoliciesDeleted) -> list[Event]:
        found = [self.state.policies.get(uid) for uid in event.uids]
        self.state.delete(event.uids)
        return [PoliciesApplied(tuple(policy for policy in found if policy is not None))]

    def _stage_policies(self, event: PoliciesStaged) -> list[Event]:
        before = self.state.overlay
        self.state.stage(event.overlay)
        return [PoliciesStaged(before)]

    def _add_endpoint(self, event: EndpointAdded) -> list[Event]:
        workload = event.workload
        self.endpoints.check(workload)
        old = self.endpoints.get(workload.name)
        row = self.endpoints.row_for(workload.name)
        labels, addresses = workload.labels, workload.addresses
        self._divide(addresses, taking=True)
        if old is None:
            identity = self.state.add_endpoint(labels, addresses)
        else:
            identity = self.state.move_endpoint(old.identity, old.workload.addresses, labels, addresses)
        self._put(old, Endpoint(row, identity, workload))
        self._divide(old.workload.addresses if old else ())
        return [EndpointAdded(old.workload) if old else EndpointRemoved(workload.name)]

    def _put(self, old: Endpoint | None, new: Endpoint) -> None:
        self.endpoints.put(new)
        self._host_changed = True
        workload, row = new.workload, new.row
        self.actual.doubt(prefixes=[*new.networks, *(old.networks if old else ())])
        self._remember[memory.ENDPOINT, str(row)] = memory.write_workload(workload)
        before = old.workload if old else None
        if before and _wire(before) == _wire(workload):
            if before.aggregation != workload.aggregation:
                self._before.append(new.command)
            return
        # Its name may have let the row go and got it back by one and the same commit.
        self._after = [command for command in self._after if command != ClearEndpoint(row)]
        self._before.append(new.command)
        if before and before.ifindex and before.ifindex != workload.ifindex:
            self._after.append(Detach(row, before.ifindex))
        if workload.ifindex:
            self._after.append(Attach(row, workload.ifindex))

    def _change_labels(self, event: EndpointLabelsChanged) -> list[Event]:
        workload = self.endpoints[event.name].workload
        return self._add_endpoint(EndpointAdded(replace(workload, labels=event.labels)))

    def _configure(self, event: EndpointConfigured) -> list[Event]:
        workload = self.endpoints[event.name].workload
        return self._add_endpoint(EndpointAdded(replace(workload, aggregation=event.aggregation)))

    def _disconnect(self, event: EndpointDisconnected) -> list[Event]:
        workload = self.endpoints[event.name].workload
        return self._add_endpoint(EndpointAdded(replace(workload, ifindex=0)))

    def _remove_endpoint(self, event: EndpointRemoved) -> list[Event]:
        endpoint = self.endpoints[event.name]
        workload, row = endpoint.workload, endpoint.row
        self.state.remove_endpoint(endpoint.identity, workload.addresses)
        self.endpoints.remove(event.name)
        self._host_changed = True
        self._divide(workload.addresses)
        self.actual.doubt(prefixes=endpoint.networks)
        self._remember[memory.ENDPOINT, str(row)] = None
        self._after.append(ClearEndpoint(row))
        if workload.ifindex:
            self._after.append(Detach(row, workload.ifindex))
        return [EndpointAdded(workload)]

    def _set_entry(self, event: EntrySet) -> list[Event]:
        problem = problem_of(event.key)
        if problem:
            raise BadInput(f"no entry can stand at this key: {problem}")
        before = self.manual.get(event.key)
        self.manual[event.key] = event.verdict
        self._manual_changed(event.key)
        return [EntryDeleted(event.key) if before is None else EntrySet(event.key, before)]

    def _delete_entry(self, event: EntryDeleted) -> list[Event]:
        verdict = self.manual.pop(event.key, None)
        if verdict is None:
            raise NotFound("no entry was set by hand at this key; entries of policies go with their policy")
        self._manual_changed(event.key)
        return [EntrySet(event.key, verdict)]

    def _manual_changed(self, key: PolicyKey) -> None:
        verdict = self.manual.get(key)
        self._remember[memory.MANUAL, memory.write_key(key)] = None if verdict is None else int(verdict)
        self.actual.doubt([key])

    def _apply_services(self, event: ServicesApplied) -> list[Event]:
        replaced = [self.services.get(each.uid) for each in event.objects]
        old = tuple(each for each in replaced if each is not None)
        new = {each.uid for each in event.objects} - {each.uid for each in old}
        self.services.apply(event.objects)
        self.state.services_changed()
        self._host_changed = True
        for each in event.objects:
            self._remember[memory.SERVICE, each.uid] = stored.write(each)
        inverses: list[Event] = [ServicesApplied(old)] if old else []
        return [*inverses, ServicesDeleted(tuple(sorted(new)))] if new else inverses

    def _delete_services(self, event: ServicesDeleted) -> list[Event]:
        found = [self.services.get(uid) for uid in event.uids]
        self.services.delete(event.uids)
        self.state.services_changed()
        self._remember |= {(memory.SERVICE, uid): None for uid in event.uids}
        return [ServicesApplied(tuple(each for each in found if each is not None))]

    def _set_nodes(self, event: NodeAddresses) -> list[Event]:
        before, self._nodes = self._nodes, event
        self._host_changed = True
        self._divide(before.addresses | event.addresses, always=True)
        return [before]

    def _divide(self, addresses: Iterable[Address], *, taking: bool = False, always: bool = False) -> None:
        """An address that is an endpoint's is not the node's, whatever a route or interface says.

        To be called before an endpoint takes addresses and after some may have become free.
        """
        changed = set(addresses)
        if always or changed & self.nodes:
            taken = {address for endpoint in self.endpoints for address in endpoint.workload.addresses}
            self.state.set_nodes(self.nodes - taken - (changed if taking else set()))

    def _take_together(self, event: Together) -> list[Event]:
        inverses: list[Event] = []
        try:
            for each in event.events:
                inverses[:0] = self._take[type(each)](each)
        except BaseException:
            for inverse in inverses:
                self._take[type(inverse)](inverse)
            raise
        return inverses

    def _restore(self, event: Restored) -> list[Event]:
        """What is wanted from before comes first, so that everything finds its number again."""
        for number, labels in event.identities.items():
            self.state.allocator.restore(number, labels)
        self.numbers.restore(event.rules)
        self.actual.adopt(event.entries, event.peers, event.frontends)
        for row, workload in event.endpoints.items():
            self.endpoints.restore(workload.name, row)
        self._apply_policies(PoliciesApplied(event.policies))
        self._stage_policies(PoliciesStaged(event.staged))
        for workload in event.endpoints.values():
            self._add_endpoint(EndpointAdded(workload))
        for key, verdict in event.manual.items():
            self._set_entry(EntrySet(key, verdict))
        self._set_nodes(NodeAddresses(event.node_addresses))
        self._apply_services(ServicesApplied(event.services))
        self.state.allocator.forget_unused()
        return []


def _wire(workload: Workload) -> tuple[object, ...]:
    return workload.ifindex, workload.mac, workload.host_mac, workload.cookie
