from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from ringfence.abi import Aggregation, Direction, PeerKind, Tier, Verdict
from ringfence.engine import memory
from ringfence.engine.commands import Commit, Remember, WriteEndpoint
from ringfence.engine.engine import Engine
from ringfence.engine.events import (
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
    Restored,
    Together,
)
from ringfence.errors import BadInput, NotFound, RingfenceError
from ringfence.labels import Label, Labels
from ringfence.policy.mapstate import PolicyKey
from tests.unit.engine.script import OUTSIDE, WEB, outline, policies, run, started, workload

A = workload("a", "web", "10.0.0.1", 5)
B = workload("b", "client", "10.0.0.2", 6)
WEB_UID = "CiliumNetworkPolicy/default/web"


def key(engine: Engine, name: str, peer: str, port: int) -> PolicyKey:
    """The key of ingress to one endpoint from another, TCP."""
    subject, other = engine.endpoints[name].identity, engine.endpoints[peer].identity
    kinds = int(PeerKind.IDENTITY), int(Tier.NORMAL), int(Direction.INGRESS)
    return PolicyKey(subject, other, port, 6, 24, *kinds)


def test_endpoint_is_hooked_after_its_policy_is_active() -> None:
    """A row is filled before the commit that names it, and the interface hooked after it."""
    assert outline(run(started(), EndpointAdded(A))) == ["write 1 at 5", "commit +2 -0 prefixes +1 -0", "attach 5"]


def test_endpoint_leaves_commit_first() -> None:
    """A removed endpoint's own hook drops everything before it is taken off."""
    engine = started()
    run(engine, EndpointAdded(A))
    expected = ["commit +0 -2 prefixes +0 -1", "clear 1", "detach 5"]
    assert expected == outline(run(engine, EndpointRemoved("a")))


def test_same_again_is_no_commit() -> None:
    """What is so already changes nothing."""
    engine = started(WEB)
    run(engine, EndpointAdded(A))
    assert [] == outline(run(engine, EndpointAdded(A), PoliciesApplied(policies(WEB))))


def test_policy_commit_names_what_changed_only() -> None:
    """Adding one policy writes its own entries: one for the peer, and the isolation of its subject."""
    engine = started()
    run(engine, EndpointAdded(A), EndpointAdded(B))
    assert ["commit +2 -0 prefixes +0 -0"] == outline(run(engine, PoliciesApplied(policies(WEB))))
    assert ["commit +0 -2 prefixes +0 -0"] == outline(run(engine, PoliciesDeleted((WEB_UID,))))


def test_rule_keeps_its_number() -> None:
    """A rule taken out and put back has the number it had, and its row is written again only if it was given away."""
    engine = started(WEB)
    run(engine, EndpointAdded(A), EndpointAdded(B))
    wanted = key(engine, "a", "b", 80)
    number = engine.actual.entries[wanted]
    run(engine, PoliciesDeleted((WEB_UID,)))
    run(engine, PoliciesApplied(policies(WEB)))
    assert number == engine.actual.entries[wanted]


def test_labels_changed_is_one_commit() -> None:
    """New labels are a new identity: entries and address change in the same commit."""
    engine = started(WEB)
    run(engine, EndpointAdded(A), EndpointAdded(B))
    labels = replace(A, labels=B.labels).labels
    (commit,) = run(engine, EndpointLabelsChanged("a", labels))
    assert isinstance(commit, Commit)
    assert commit.peers[ip_network("10.0.0.1/32")] == (engine.endpoints["b"].identity, 0, 1)
    assert commit.policy


def test_unknown_labels_are_isolated() -> None:
    """An endpoint whose labels are unknown has reserved:init and is enforced in both directions."""
    engine = started()
    run(engine, EndpointAdded(replace(A, labels=Labels([Label("reserved", "init")]))))
    identity = engine.endpoints["a"].identity
    assert identity == 5
    assert all(engine.isolated(identity, direction) for direction in Direction)


def test_enforcement_by_direction() -> None:
    """Only the directions that a policy isolates are enforced."""
    engine = started(WEB)
    run(engine, EndpointAdded(A))
    identity = engine.endpoints["a"].identity
    assert engine.isolated(identity, Direction.INGRESS)
    assert not engine.isolated(identity, Direction.EGRESS)


def test_manual_entry_comes_first_and_stays() -> None:
    """An entry set by hand wins at its key until it is deleted by hand, whatever policies do."""
    engine = started(WEB)
    run(engine, EndpointAdded(A), EndpointAdded(B))
    wanted = key(engine, "a", "b", 80)
    run(engine, EntrySet(wanted, Verdict.DENY), PoliciesDeleted((WEB_UID,)), PoliciesApplied(policies(WEB)))
    rule = engine.known.rule_of(engine.actual.entries[wanted])
    assert rule is not None
    assert (rule.origin, rule.verdict) == ("manual", Verdict.DENY)
    run(engine, EntryDeleted(wanted))
    rule = engine.known.rule_of(engine.actual.entries[wanted])
    assert rule is not None
    assert rule.policy == WEB_UID


def test_bad_entries_are_refused() -> None:
    """A key that no packet can meet is refused; so is deleting an entry that nobody set."""
    engine = started(WEB)
    run(engine, EndpointAdded(A), EndpointAdded(B))
    wanted = key(engine, "a", "b", 80)
    with pytest.raises(BadInput, match="bits beyond prefix"):
        engine.handle(EntrySet(wanted._replace(prefix=20, port=81), Verdict.ALLOW))
    with pytest.raises(NotFound, match="set by hand"):
        engine.handle(EntryDeleted(wanted))


def test_vanished_interface_empties_the_row() -> None:
    """An endpoint without its interface keeps its policy; its row says that packets have nowhere to go."""
    engine = started()
    run(engine, EndpointAdded(A))
    assert ["write 1 at 0", "detach 5"] == outline(run(engine, EndpointDisconnected("a")))
    assert ["write 1 at 9", "attach 9"] == outline(run(engine, EndpointAdded(replace(A, ifindex=9))))


def test_conflicts_change_nothing() -> None:
    """An address or interface of another endpoint is refused, with nothing half-applied."""
    engine = started()
    run(engine, EndpointAdded(A))
    for other in (replace(B, addresses=A.addresses), replace(B, ifindex=5)):
        with pytest.raises(RingfenceError, match="belongs to endpoint 'a' already"):
            engine.handle(EndpointAdded(other))
        assert [] == engine.commands()
        engine.done()
    with pytest.raises(NotFound):
        engine.handle(PoliciesDeleted(("CiliumNetworkPolicy/default/none",)))
    assert [] == engine.commands()


def test_node_address_is_the_host() -> None:
    """The node's own addresses are the host's, but for one that an endpoint has."""
    engine = started()
    run(engine, EndpointAdded(A))
    own = ip_address("10.0.0.254")
    (commit,) = run(engine, NodeAddresses(frozenset({own, *A.addresses})))
    assert isinstance(commit, Commit)
    assert commit.peers == {ip_network("10.0.0.254/32"): (1, 0, 0)}


def test_a_workloads_events_are_configured_in_place() -> None:
    """Another aggregation is written into the endpoint's row and remembered: no commit, and nothing is hooked anew."""
    engine = started()
    run(engine, EndpointAdded(A))
    commands = engine.handle(EndpointConfigured("a", Aggregation.PACKETS))
    engine.done()
    remember, write = commands
    assert isinstance(remember, Remember)
    assert [memory.write_workload(replace(A, aggregation=Aggregation.PACKETS))] == list(remember.items.values())
    assert write == WriteEndpoint(1, 1, A.ifindex, A.mac, A.host_mac, Aggregation.PACKETS)
    assert [] == run(engine, EndpointConfigured("a", Aggregation.PACKETS))
    run(engine, EndpointLabelsChanged("a", B.labels))
    assert engine.endpoints["a"].workload.aggregation is Aggregation.PACKETS
    with pytest.raises(NotFound):
        engine.take(EndpointConfigured("nobody", Aggregation.OFF))


CHANGES: dict[str, Event] = {
    "policy applied": PoliciesApplied(policies(WEB, OUTSIDE)),
    "policy deleted": PoliciesDeleted(("CiliumNetworkPolicy/default/outside",)),
    "endpoint added": EndpointAdded(workload("c", "other", "192.0.2.7", 7)),
    "endpoint removed": EndpointRemoved("a"),
    "endpoint moved": EndpointAdded(replace(A, labels=B.labels, addresses=(ip_address("10.0.0.9"),), ifindex=9)),
    "labels changed": EndpointLabelsChanged("b", A.labels),
    "endpoint configured": EndpointConfigured("a", Aggregation.PACKETS),
    "node addresses": NodeAddresses(frozenset({ip_address("192.0.2.200")})),
    "together": Together((EndpointRemoved("b"), PoliciesDeleted(("CiliumNetworkPolicy/default/outside",)))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_undo_leaves_nothing_to_do(name: str) -> None:
    """After a commit that failed, the state is as before: nothing differs from the kernel, down to the numbers."""
    engine = started(OUTSIDE)
    run(engine, EndpointAdded(A), EndpointAdded(B))
    before = dict(engine.state.map.items()), dict(engine.state.ipcache.items()), engine.state.identities()
    engine.handle(CHANGES[name])
    engine.undo()
    assert before == (dict(engine.state.map.items()), dict(engine.state.ipcache.items()), engine.state.identities())
    assert [] == engine.commands()


@pytest.mark.parametrize("name", CHANGES)
def test_undone_change_can_be_made_again(name: str) -> None:
    """A change that failed once gives the same entries the second time as it would have the first."""
    engine, other = started(OUTSIDE), started(OUTSIDE)
    for each in (engine, other):
        run(each, EndpointAdded(A), EndpointAdded(B))
    engine.handle(CHANGES[name])
    engine.undo()
    run(engine, CHANGES[name])
    run(other, CHANGES[name])
    texts = [
        {(each.known.labels_of(k.subject), k.port, each.known.rule_of(n)) for k, n in each.actual.entries.items()}
        for each in (engine, other)
    ]
    assert texts[0] == texts[1]
    assert engine.actual.peers.keys() == other.actual.peers.keys()


def test_restart_needs_no_commit() -> None:
    """A new engine that is told what was remembered and what the kernel holds finds nothing to change."""
    engine = started(WEB, OUTSIDE)
    run(engine, EndpointAdded(A), EndpointAdded(B))
    run(engine, EntrySet(key(engine, "a", "b", 443), Verdict.ALLOW))
    restored = Restored(
        identities=engine.state.identities(),
        rules={n: rule for n in set(engine.actual.entries.values()) if (rule := engine.known.rule_of(n))},
        policies=tuple(engine.state.policies),
        endpoints={endpoint.row: endpoint.workload for endpoint in engine.endpoints},
        manual=engine.manual,
        entries=engine.actual.entries,
        peers=engine.actual.peers,
    )
    again = Engine()
    commands = [command for command in again.handle(restored) if not isinstance(command, Remember)]
    assert ["write 1 at 5", "write 2 at 6", "attach 5", "attach 6"] == sorted(outline(commands), key=_hooks_last)
    assert engine.endpoints["b"].identity == again.endpoints["b"].identity


def test_restart_removes_what_nobody_wants() -> None:
    """Entries and prefixes that the kernel holds and nothing wants are taken away by the first commit."""
    engine = started(WEB)
    run(engine, EndpointAdded(A), EndpointAdded(B))
    left = Restored(entries=engine.actual.entries, peers=engine.actual.peers)
    again = Engine()
    run(again, left)
    assert {} == again.actual.entries
    assert {ip_network("fe80::/10")} == set(again.actual.peers)


def _hooks_last(line: str) -> tuple[bool, str]:
    return line.startswith("attach"), line
