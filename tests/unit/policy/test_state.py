from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ringfence.abi import Direction, PeerKind, Reason, Tier, Verdict
from ringfence.errors import NotFound
from ringfence.identity.ipcache import Known
from ringfence.identity.reserved import Reserved
from ringfence.labels import Labels, workload_labels
from ringfence.policy.mapstate import Claim, MapState, PolicyKey, Wish
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.resolve import default_key, tails
from ringfence.policy.rule import Policy, Ports, default_allow
from ringfence.policy.state import PolicyState

WEB, DB = (workload_labels(Labels.parse([f"app={app}"])) for app in ("web", "db"))
ONE, TWO = ip_address("10.0.0.1"), ip_address("10.0.0.2")


def policy(rules: str, name: str = "p", file: str = "f.yaml") -> Policy:
    head = f"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}}}\n"
    text = f"{head}spec: {{endpointSelector: {{matchLabels: {{app: web}}}}, {rules}}}\n"
    return parse_documents([Source(file, text)]).policies[0]


FROM_DB = "ingress: [{fromEndpoints: [{matchLabels: {app: db}}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]"


def started() -> PolicyState:
    state = PolicyState()
    state.take_changes()
    return state


def test_a_subject_without_policy_has_its_defaults_only() -> None:
    """A new endpoint means one default allow for each direction, at the end of the last tier."""
    state = started()
    number = state.add_endpoint(WEB, [ONE])
    changes = state.take_changes()
    assert set(changes.policy) == {default_key(number, direction, Tier.BASELINE) for direction in Direction}
    assert changes.peers == {ip_network("10.0.0.1/32"): Known(number, 0)}
    assert changes.identities == {number: WEB}


def test_a_policy_is_entries_for_subjects_here_and_peers_anywhere() -> None:
    """One entry for each pair and block of ports, and the default deny that names the isolating rule."""
    state = started()
    web, db = state.add_endpoint(WEB, [ONE]), state.acquire_identity(DB)
    state.take_changes()
    state.apply([policy(FROM_DB)])
    changes = state.take_changes().policy
    entry = PolicyKey(web, db, 80, 6, 24, int(PeerKind.IDENTITY), int(Tier.NORMAL), int(Direction.INGRESS))
    isolated = default_key(web, Direction.INGRESS, Tier.NORMAL)
    assert set(changes) == {entry, isolated}
    allowed, denied = changes[entry], changes[isolated]
    assert allowed is not None
    assert denied is not None
    assert (allowed.verdict, allowed.reason, allowed.origin) == (Verdict.ALLOW, Reason.FORWARDED, "f.yaml:4")
    assert (denied.verdict, denied.reason) == (Verdict.DENY, Reason.POLICY_DENIED)
    assert denied.text == "no rule allows this; isolated by f.yaml:4"


def test_the_same_policy_again_changes_nothing() -> None:
    """A rule that is written as it was, where it was, stays."""
    state = started()
    state.add_endpoint(WEB, [ONE])
    state.apply([policy(FROM_DB)])
    state.take_changes()
    state.apply([policy(FROM_DB), policy(FROM_DB)])
    assert not state.take_changes()


def test_taking_the_first_of_two_rules_brings_the_next() -> None:
    """A key that two rules want names the first written; removing that one leaves the other's."""
    state = started()
    state.add_endpoint(WEB, [ONE])
    state.acquire_identity(DB)
    state.apply([policy(FROM_DB, "b", "b.yaml"), policy(FROM_DB, "a", "a.yaml")])
    state.take_changes()
    state.delete(["CiliumNetworkPolicy/default/a"])
    changed = state.take_changes().policy
    assert {text.origin for text in changed.values() if text} == {"b.yaml:4"}
    assert len(changed) == 2


def test_a_prefix_brings_its_identity_and_the_classes_of_addresses_in_it() -> None:
    """A policy prefix gets a number; addresses in it, an endpoint's too, get it as their class, and lose it again."""
    state = started()
    web = state.add_endpoint(WEB, [ONE])
    state.take_changes()
    state.apply([policy("egress: [{toCIDR: [10.0.0.0/8]}]")])
    changes = state.take_changes()
    number = state.prefixes.number(ip_network("10.0.0.0/8"))
    assert changes.identities == {number: Labels.parse(["cidr:10.0.0.0/8", "reserved:world"])}
    assert changes.peers == {
        ip_network("10.0.0.0/8"): Known(number, number),
        ip_network("10.0.0.1/32"): Known(web, number),
    }
    state.delete(["CiliumNetworkPolicy/default/p"])
    gone = state.take_changes()
    assert gone.peers == {ip_network("10.0.0.0/8"): None, ip_network("10.0.0.1/32"): Known(web, 0)}
    assert gone.identities == {number: None}


def test_a_covering_prefix_relabels_what_it_covers() -> None:
    """The identity of a prefix inside a new one carries that one's label too."""
    state = started()
    state.apply([policy("egress: [{toCIDR: [10.1.0.0/16]}]", "narrow")])
    state.take_changes()
    state.apply([policy("egress: [{toCIDR: [10.0.0.0/8]}]", "wide")])
    inner = state.prefixes.number(ip_network("10.1.0.0/16"))
    assert str(state.take_changes().identities[inner]) == "cidr:10.0.0.0/8 cidr:10.1.0.0/16 reserved:world"


def test_a_prefix_used_before_and_after_keeps_its_number() -> None:
    """What comes is added before what goes is removed."""
    state = started()
    state.apply([policy("egress: [{toCIDR: [10.0.0.0/8]}]")])
    number = state.prefixes.number(ip_network("10.0.0.0/8"))
    state.apply([policy("ingress: [{fromCIDR: [10.0.0.0/8]}]")])
    assert state.prefixes.number(ip_network("10.0.0.0/8")) == number


def test_an_endpoint_that_moves_keeps_what_it_can() -> None:
    """Other labels are another identity at the same address; the old one goes when nobody has it."""
    state = started()
    old = state.add_endpoint(WEB, [ONE])
    state.take_changes()
    new = state.move_endpoint(old, [ONE], DB, [ONE, TWO])
    changes = state.take_changes()
    assert changes.peers == {ip_network("10.0.0.1/32"): Known(new, 0), ip_network("10.0.0.2/32"): Known(new, 0)}
    assert changes.identities == {new: DB, old: None}
    assert state.subjects == {new}
    state.remove_endpoint(new, [ONE, TWO])
    assert set(state.take_changes().peers.values()) == {None}


def test_the_node_is_the_host() -> None:
    """Its addresses, and link-local ones, have the reserved identity; an address it no longer has is forgotten."""
    state = PolicyState()
    state.set_nodes([ONE])
    assert state.ipcache.lookup(ONE).identity == Reserved.HOST
    assert state.ipcache.lookup(ip_address("fe80::1")).identity == Reserved.HOST
    state.set_nodes([TWO])
    assert state.ipcache.lookup(ONE).identity == Reserved.WORLD


def test_deleting_what_is_not_there_deletes_nothing() -> None:
    """All the uids must be applied."""
    state = started()
    state.apply([policy(FROM_DB)])
    with pytest.raises(NotFound, match="policy/x"):
        state.delete(["CiliumNetworkPolicy/default/p", "no/policy/x"])
    assert "CiliumNetworkPolicy/default/p" in state.policies


def test_entries_of_ports() -> None:
    """A wildcard is a prefix length: anything 0, a protocol 8, a block of ports 8 and its bits; each once."""
    assert tails([Ports()]) == [(0, 0, 0)]
    assert tails([Ports(6), Ports(1, 0, 255)]) == [(0, 6, 8), (0, 1, 8)]
    assert tails([Ports(1, 0, 0), Ports(6, 80, 81), Ports(6, 80, 81)]) == [(0, 1, 24), (80, 6, 23)]


def test_wanting_a_key_twice_is_wanting_it_once() -> None:
    """A claim is there or not; removing what is not there does nothing."""
    state, claim = MapState(), Claim(Wish(default_allow(Direction.INGRESS)))
    key = default_key(256, Direction.INGRESS, Tier.BASELINE)
    state.add([key, key], claim)
    state.add([key], claim)
    state.remove([key], claim)
    state.remove([key], claim)
    assert len(state) == 0
    assert state.take_changes() == {}
