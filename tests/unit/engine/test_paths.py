"""What the kernel is told depends on the state alone, never on the way there: not on order, failures or restarts."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.abi import PeerKind
from ringfence.engine.engine import Engine
from ringfence.engine.events import (
    EndpointAdded,
    EndpointLabelsChanged,
    EndpointRemoved,
    Event,
    NodeAddresses,
    PoliciesApplied,
    PoliciesDeleted,
    Restored,
)
from ringfence.errors import RingfenceError
from tests.unit.engine.script import OUTSIDE, WEB, policies, run, started, workload

CLIENT_CIDR = (
    OUTSIDE.replace("outside", "client").replace("app: web", "app: client").replace("192.0.2.0", "192.0.2.128")
)
CLIENT_CIDR = CLIENT_CIDR.replace("/24, except: [192.0.2.128/25]", "/25")
OTHER_WEB = WEB.replace('"80"', '"443"')
POLICIES = [policies(text)[0] for text in (WEB, OUTSIDE, CLIENT_CIDR, OTHER_WEB)]
NAMES = ["a", "b", "c"]
APPS = ["web", "client", "other"]
ADDRESSES = ["10.0.0.1", "10.0.0.2", "192.0.2.5", "192.0.2.200"]


def endpoints() -> st.SearchStrategy[Event]:
    return st.builds(
        lambda name, app, address: EndpointAdded(workload(name, app, address, NAMES.index(name) + 1)),
        st.sampled_from(NAMES),
        st.sampled_from(APPS),
        st.sampled_from(ADDRESSES),
    )


EVENTS: st.SearchStrategy[Event] = st.one_of(
    endpoints(),
    st.builds(EndpointRemoved, st.sampled_from(NAMES)),
    st.builds(
        lambda name, app: EndpointLabelsChanged(name, workload(name, app, "10.0.0.1", 1).labels),
        st.sampled_from(NAMES),
        st.sampled_from(APPS),
    ),
    st.builds(lambda policy: PoliciesApplied((policy,)), st.sampled_from(POLICIES)),
    st.builds(lambda policy: PoliciesDeleted((policy.uid,)), st.sampled_from(POLICIES)),
    st.builds(
        lambda addresses: NodeAddresses(frozenset(map(ip_address, addresses))),
        st.sets(st.sampled_from(["10.0.0.254", "192.0.2.130", "10.0.0.1"])),
    ),
)


def told(engine: Engine) -> tuple[object, object]:
    """What the kernel was told, with names in place of numbers."""
    entries = {
        (
            engine.known.labels_of(key.subject),
            engine.known.labels_of(key.peer) if key.peer_kind == PeerKind.IDENTITY else key.peer_kind,
            key[2:],
            engine.known.rule_of(number),
        )
        for key, number in engine.actual.entries.items()
    }
    peers = {
        (
            network,
            engine.known.labels_of(peer.identity),
            bool(peer.prefix_class),
            engine.known.endpoint_of(peer.endpoint),
        )
        for network, peer in engine.actual.peers.items()
    }
    return entries, peers


def direct(engine: Engine) -> Engine:
    """An engine that came to the same state by the shortest way."""
    fresh = started()
    run(fresh, NodeAddresses(engine.nodes), PoliciesApplied(tuple(engine.state.policies)))
    run(fresh, *(EndpointAdded(replace(endpoint.workload)) for endpoint in engine.endpoints))
    return fresh


def restarted(engine: Engine) -> Engine:
    """An engine that took over from this one."""
    again = Engine()
    restored = Restored(
        identities=engine.state.identities(),
        rules={number: rule for number in range(1, 200) if (rule := engine.known.rule_of(number))},
        policies=tuple(engine.state.policies),
        endpoints={endpoint.row: endpoint.workload for endpoint in engine.endpoints},
        node_addresses=engine.nodes,
        entries=engine.actual.entries,
        peers=engine.actual.peers,
    )
    run(again, restored)
    return again


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(st.tuples(EVENTS, st.sampled_from(["done", "done", "done", "undo", "restart"])), max_size=14))
def test_any_way_leads_to_the_same(steps: list[tuple[Event, str]]) -> None:
    """After any events, commits that failed and restarts, the kernel was told what the final state calls for."""
    engine = started()
    for event, then in steps:
        try:
            engine.handle(event)
        except RingfenceError:
            continue
        if then == "undo":
            engine.undo()
            assert [] == engine.commands()
        engine.done()
        if then == "restart":
            engine = restarted(engine)
    assert told(direct(engine)) == told(engine)
