from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.identity.prefixes import Address
from ringfence.labels import Labels, workload_labels
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.rule import Policy
from ringfence.policy.state import PolicyState
from ringfence.verdict import RuleText
from tests.generated.pieces import APPS, NAMESPACES
from tests.generated.worlds import parsed, policy_sets

Step = tuple[str, Any]
LABELS = [
    workload_labels(Labels.parse([f"app={app}", f"tier={tier}"]), namespace)
    for app in APPS
    for tier in ("1", "2")
    for namespace in NAMESPACES
]
#: Some of them lie inside the prefixes that policies use.
ADDRESSES: list[Address] = [ip_address(each) for each in ("10.0.0.1", "10.9.1.7", "192.0.2.4", "fd09::5", "172.16.0.1")]


def canonical(state: PolicyState) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """A state without its numbers: labels in the place of identities, prefixes in that of classes."""

    def meaning(number: int) -> str:
        return str(state.labels(number)) if number else ""

    entries = {
        (meaning(key.subject), meaning(key.peer), *key[2:]): state.map.wanted(key) for key, _ in state.map.items()
    }
    peers = {network: tuple(map(meaning, known)) for network, known in state.ipcache.items()}
    return entries, peers


class Model:
    """What a sequence of steps should amount to."""

    def __init__(self) -> None:
        self.state = PolicyState()
        self.policies: dict[str, Policy] = {}
        self.endpoints: dict[Address, tuple[Labels, int]] = {}
        self.nodes: list[Address] = []

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
        elif verb == "remove" and self.endpoints:
            address = sorted(self.endpoints, key=str)[what % len(self.endpoints)]
            _, identity = self.endpoints.pop(address)
            self.state.remove_endpoint(identity, [address])
        elif verb == "nodes":
            self.nodes = [each for each in what if each not in self.endpoints]
            self.state.set_nodes(self.nodes)

    def put_endpoint(self, address: Address, labels: Labels) -> None:
        if address in self.nodes:
            return
        if address in self.endpoints:
            old = self.endpoints[address][1]
            self.endpoints[address] = labels, self.state.move_endpoint(old, [address], labels, [address])
        else:
            self.endpoints[address] = labels, self.state.add_endpoint(labels, [address])

    def from_scratch(self) -> PolicyState:
        """The same in another order: endpoints, nodes and policies backwards."""
        state = PolicyState()
        for address, (labels, _) in reversed(self.endpoints.items()):
            state.add_endpoint(labels, [address])
        state.set_nodes(self.nodes)
        for policy in reversed(self.policies.values()):
            state.apply([policy])
        return state


def steps() -> st.SearchStrategy[list[Step]]:
    """Sequences of changes."""
    one: st.SearchStrategy[Step] = st.one_of(
        policy_sets(2).map(lambda documents: ("apply", parsed(documents).policies)),
        st.integers(0, 5).map(lambda index: ("delete", index)),
        st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(LABELS)).map(lambda pair: ("endpoint", pair)),
        st.integers(0, 5).map(lambda index: ("remove", index)),
        st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True).map(lambda nodes: ("nodes", nodes)),
    )
    return st.lists(one, min_size=2, max_size=10)


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


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps())
def test_a_state_depends_on_what_is_there_and_not_on_how_it_came(sequence: list[Step]) -> None:
    """After any changes, entries and ipcache equal those computed afresh in another order."""
    model = Model()
    for step in sequence:
        model.take(step)
    assert canonical(model.state) == canonical(model.from_scratch())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps())
def test_changes_are_all_that_differs_and_nothing_else(sequence: list[Step]) -> None:
    """What take_changes tells, laid over what was, is what is; it names no entry that stays the same."""
    model = Model()
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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps())
def test_when_all_is_taken_away_nothing_is_left(sequence: list[Step]) -> None:
    """After the last policy and endpoint have gone, the state is that of a fresh start."""
    model = Model()
    for step in sequence:
        model.take(step)
    for _ in range(len(model.endpoints)):
        model.take(("remove", 0))
    model.take(("nodes", []))
    model.state.delete(list(model.policies))
    assert canonical(model.state) == canonical(PolicyState())
    assert len(model.state.prefixes.networks) == 0
