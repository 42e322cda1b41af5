from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.identity.prefixes import Address
from ringfence.labels import Labels, port_labels, workload_labels
from ringfence.policy.builtin import Settings
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.parse import Parsed
from ringfence.policy.rule import Policy
from ringfence.policy.service_set import ServiceObject
from ringfence.policy.state import PolicyState
from ringfence.verdict import RuleText
from tests.generated.pieces import APPS, ENVIRONMENTS, NAMESPACES, TIERS, Json, subset
from tests.generated.services import NAMES, services
from tests.generated.worlds import parsed, policy_sets
from tests.sequences.canonical import canonical

Step = tuple[str, Any]
#: Some of them lie inside the prefixes that policies use.
ADDRESSES: list[Address] = [ip_address(each) for each in ("10.0.0.1", "10.9.1.7", "192.0.2.4", "fd09::5", "172.16.0.1")]
PORTS = ((), (("http", "TCP", 80),), (("http", "TCP", 8080), ("dns", "UDP", 53)))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


class Workload(NamedTuple):
    """What an endpoint's labels are made of, but for those of its namespace."""

    namespace: str
    labels: tuple[str, ...]
    ports: tuple[tuple[str, str, int], ...]

    def labelled(self, namespaces: Mapping[str, Mapping[str, str]]) -> Labels:
        """All of its labels."""
        own = [*Labels.parse(self.labels), *port_labels(self.ports)]
        return workload_labels(own, self.namespace, namespaces.get(self.namespace))


class Model:
    """What a sequence of steps should amount to."""

    def __init__(self, chosen: Settings) -> None:
        self.settings = chosen
        self.state = PolicyState(chosen)
        self.policies: dict[str, Policy] = {}
        self.namespaces: dict[str, dict[str, str]] = {}
        self.endpoints: dict[Address, tuple[Workload, int]] = {}
        self.nodes: tuple[list[Address], list[Address]] = ([], [])

    def take(self, step: Step) -> None:
        verb, what = step
        if verb == "apply":
            self.policies |= {policy.uid: policy for policy in what}
            self.state.apply(what)
        elif verb == "delete" and self.policies:
            uid = sorted(self.policies)[what % len(self.policies)]
            del self.policies[uid]
            self.state.delete([uid])
        elif verb == "endpoint":
            self.put_endpoint(*what)
        elif verb == "namespace":
            self.label_namespace(*what)
        elif verb == "remove" and self.endpoints:
            address = sorted(self.endpoints, key=str)[what % len(self.endpoints)]
            _, identity = self.endpoints.pop(address)
            self.state.remove_endpoint(identity, [address])
        elif verb == "serve":
            self.serve(what)
        elif verb == "nodes":
            own, others = ([each for each in part if each not in self.endpoints] for part in what)
            self.nodes = own, [each for each in others if each not in own]
            self.state.set_nodes(*self.nodes)

    def serve(self, what: list[ServiceObject]) -> None:
        """Services and slices have come in the place of those of the same name; without any all of them go."""
        gone = [] if what else [each.uid for each in self.state.services.objects]
        for uid in gone:
            self.state.services.take_away(uid)
        for each in what:
            self.state.services.put(each)
        self.state.services_changed()

    def put_endpoint(self, address: Address, workload: Workload) -> None:
        """A pod has come, or has other labels or ports."""
        if address in (*self.nodes[0], *self.nodes[1]):
            return
        labels = workload.labelled(self.namespaces)
        if address in self.endpoints:
            old = self.endpoints[address][1]
            self.endpoints[address] = workload, self.state.move_endpoint(old, [address], labels, [address])
        else:
            self.endpoints[address] = workload, self.state.add_endpoint(labels, [address])

    def label_namespace(self, name: str, labels: dict[str, str]) -> None:
        """All pods of a namespace have its labels."""
        self.namespaces[name] = labels
        for address, (workload, _) in list(self.endpoints.items()):
            if workload.namespace == name:
                self.put_endpoint(address, workload)

    def from_scratch(self) -> PolicyState:
        """The same in another order: endpoints, nodes and policies backwards."""
        state = PolicyState(self.settings)
        for each in reversed(self.state.services.objects):
            state.services.put(each)
        for address, (workload, _) in reversed(self.endpoints.items()):
            state.add_endpoint(workload.labelled(self.namespaces), [address])
        state.set_nodes(*self.nodes)
        for policy in reversed(self.policies.values()):
            state.apply([policy])
        return state


def workloads() -> st.SearchStrategy[Workload]:
    """Pods in any namespace."""
    labels = subset(app=APPS, tier=TIERS).map(lambda found: tuple(f"{key}={value}" for key, value in found.items()))
    return st.builds(Workload, st.sampled_from(NAMESPACES), labels, st.sampled_from(PORTS))


def steps() -> st.SearchStrategy[list[Step]]:
    """Sequences of changes of policies, CIDR groups, services, pods, namespaces and nodes."""
    places = st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True)
    one: st.SearchStrategy[Step] = st.one_of(
        policy_sets(2).map(lambda documents: ("apply", parsed(documents).policies)),
        _served().map(lambda documents: ("serve", _balanced(parsed(documents)))),
        st.integers(0, 5).map(lambda index: ("delete", index)),
        st.tuples(st.sampled_from(ADDRESSES), workloads()).map(lambda pair: ("endpoint", pair)),
        st.integers(0, 5).map(lambda index: ("remove", index)),
        st.tuples(st.sampled_from(NAMESPACES), subset(env=ENVIRONMENTS)).map(lambda pair: ("namespace", pair)),
        st.tuples(places, places).map(lambda pair: ("nodes", pair)),
    )
    return st.lists(one, min_size=2, max_size=10)


def _served() -> st.SearchStrategy[list[Json]]:
    return st.tuples(*map(services, NAMES)).map(lambda found: [document for part in found for document in part])


def _balanced(found: Parsed) -> list[ServiceObject]:
    return [*found.services, *found.slices]


def models() -> st.SearchStrategy[Model]:
    """Fresh states of hosts that decide otherwise for themselves."""
    chosen = (Settings(), Settings(enforcement="always"), Settings(policy_cidr_match_mode="nodes"))
    return st.sampled_from(chosen).map(Model)


def patched(
    old: dict[PolicyKey, RuleText], change: Iterable[tuple[PolicyKey, RuleText | None]]
) -> dict[PolicyKey, RuleText]:
    new = dict(old)
    for key, text in change:
        assert new.get(key) != text, "a change names an entry that does not differ"
        if text is None:
            del new[key]
        else:
            new[key] = text
    return new


@settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
@given(models(), steps())
def test_a_state_depends_on_what_is_there_and_not_on_how_it_came(model: Model, sequence: list[Step]) -> None:
    """After any changes, entries and ipcache equal those computed afresh in another order."""
    for step in sequence:
        model.take(step)
    assert canonical(model.state) == canonical(model.from_scratch())


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(models(), steps())
def test_changes_are_all_that_differs_and_nothing_else(model: Model, sequence: list[Step]) -> None:
    """What take_changes tells, laid over what was, is what is; it names no entry that stays the same."""
    entries: dict[PolicyKey, RuleText] = {}
    peers: dict[Any, Any] = {}
    identities = dict(model.state.identities())
    for step in sequence:
        model.take(step)
        changes = model.state.take_changes()
        entries = patched(entries, changes.policy.items())
        peers = {key: value for key, value in (peers | dict(changes.peers)).items() if value is not None}
        identities |= {number: labels for number, labels in changes.identities.items() if labels is not None}
        identities = {number: labels for number, labels in identities.items() if changes.identities.get(number, labels)}
        assert entries == dict(model.state.map.items())
        assert peers == dict(model.state.ipcache.items())
        assert identities == model.state.identities()


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(models(), steps())
def test_when_all_is_taken_away_nothing_is_left(model: Model, sequence: list[Step]) -> None:
    """After the last policy and endpoint have gone, the state is that of a fresh start."""
    for step in sequence:
        model.take(step)
    for _ in range(len(model.endpoints)):
        model.take(("remove", 0))
    model.take(("nodes", ([], [])))
    model.take(("serve", []))
    model.state.delete(list(model.policies))
    assert canonical(model.state) == canonical(PolicyState(model.settings))
    assert len(model.state.prefixes.networks) == 0
