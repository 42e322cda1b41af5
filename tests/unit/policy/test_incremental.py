from __future__ import annotations

from ipaddress import ip_address

import pytest

from ringfence.labels import Label, Labels, port_labels, workload_labels
from ringfence.policy.builtin import Settings
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Policy
from ringfence.policy.service_set import ServiceObject
from ringfence.policy.state import PolicyState

GROUP = """apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {{name: office}}
spec: {{externalCIDRs: [{}]}}
"""
BY_GROUP = """apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p}
spec: {endpointSelector: {}, ingress: [{fromCIDRSet: [{cidrGroupRef: office}]}]}
"""
BY_NAME = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: n}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}
"""


def read(text: str) -> tuple[Policy, ...]:
    return parse_documents([Source("a.yaml", text)]).policies


def workload(app: str, *ports: tuple[str, str, int]) -> Labels:
    return workload_labels([Label("k8s", "app", app), *port_labels(ports)])


def names(state: PolicyState) -> set[str]:
    """The peers of the entries, by their labels."""
    return {str(state.labels(key.peer)) for key, _ in state.map.items() if key.peer}


def test_a_group_that_changes_changes_only_what_differs() -> None:
    """A prefix that a group holds before and after keeps its number and its entries; the group may come last."""
    state = PolicyState()
    state.add_endpoint(workload("web"), [ip_address("10.0.0.1")])
    state.apply(read(BY_GROUP))
    assert names(state) == set()
    state.apply(read(GROUP.format("192.0.2.0/24, 198.51.100.0/24")))
    assert len(names(state)) == 2
    state.take_changes()
    state.apply(read(GROUP.format("192.0.2.0/24, 203.0.113.0/24")))
    changes = state.take_changes()
    assert sorted(text is None for text in changes.policy.values()) == [False, True]
    assert {str(network) for network in changes.peers} == {"198.51.100.0/24", "203.0.113.0/24"}
    state.delete(["CiliumCIDRGroup//office"])
    assert names(state) == set()


def test_who_calls_a_port_by_name_comes_and_goes() -> None:
    """Egress to a name has one entry for each identity that calls a port so, and none once the last has gone."""
    state = PolicyState()
    state.apply(read(BY_NAME))
    state.add_endpoint(workload("web"), [ip_address("10.0.0.1")])
    before = dict(state.map.items())
    first = state.acquire_identity(workload("db", ("http", "TCP", 8080)))
    second = state.acquire_identity(workload("db", ("http", "TCP", 9090), ("dns", "UDP", 53)))
    other = state.acquire_identity(workload("db", ("http", "UDP", 80)))
    found = {(key.peer, key.port) for key, _ in state.map.items() if key.peer}
    assert found == {(first, 8080), (second, 9090)}
    for number in (first, second, other):
        state.release_identity(number)
    assert dict(state.map.items()) == before


def test_named_ports_are_part_of_an_identity_and_no_label_that_people_see() -> None:
    """Two workloads with the same labels are two identities if they call different ports by a name."""
    state = PolicyState()
    one, two = workload("db", ("http", "TCP", 80)), workload("db", ("http", "TCP", 81))
    assert one != two
    assert one.texts() == two.texts() == workload("db").texts()
    assert state.acquire_identity(one) != state.acquire_identity(two)
    assert Labels.parse(one.stored()) == one


def test_a_rule_of_the_same_shape_takes_over() -> None:
    """Where many rules want the same entries the first written is named; when it goes, the next is."""
    state = PolicyState()
    state.add_endpoint(workload("web"), [ip_address("10.0.0.1")])
    by_entity = BY_GROUP.replace("fromCIDRSet: [{cidrGroupRef: office}]", "fromEntities: [world]")
    state.apply(read("---\n".join(by_entity.replace("name: p", f"name: p{number}") for number in range(3))))
    size = len(state.map)
    for left in (1, 2):
        state.delete([f"CiliumNetworkPolicy/default/p{left - 1}"])
        assert {text.policy for key, text in state.map.items() if key.peer} == {f"CiliumNetworkPolicy/default/p{left}"}
        assert len(state.map) == size


def test_a_node_keeps_being_one_where_prefixes_mean_nodes() -> None:
    """Its address has an identity of its own then, with the node's label and the prefixes around it."""
    state = PolicyState(Settings(policy_cidr_match_mode="nodes"))
    node = ip_address("192.0.2.9")
    state.set_nodes([node])
    state.apply(read(GROUP.format("192.0.2.0/24")))
    state.apply(read(BY_GROUP))
    assert str(state.labels(state.ipcache.lookup(node).identity)) == "cidr:192.0.2.0/24 cidr:192.0.2.9/32 reserved:host"
    state.set_nodes([])
    assert str(state.labels(state.ipcache.lookup(node).identity)) == "cidr:192.0.2.0/24 reserved:world"


SERVICE = """apiVersion: v1
kind: Service
metadata: {{name: db, namespace: default, labels: {{tier: {tier}}}}}
spec: {{clusterIP: 10.96.0.1, selector: {selector}, ports: [{{port: 80}}]}}
"""
SLICE = """apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: db-1, namespace: default, labels: {{kubernetes.io/service-name: db}}}}
addressType: IPv4
endpoints: [{{addresses: [{}]}}]
"""
BY_SERVICE = """apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: s}}
spec: {{endpointSelector: {{matchLabels: {{app: web}}}}, egress: [{{toServices: [{}]}}]}}
"""
NAMED = "{k8sService: {serviceName: db}}"
LABELLED = "{k8sServiceSelector: {selector: {matchLabels: {tier: data}}}}"


def serve(state: PolicyState, text: str) -> None:
    parsed = parse_documents([Source("a.yaml", text)])
    objects: list[ServiceObject] = [*parsed.services, *parsed.slices]
    for each in objects:
        state.services.put(each)
    state.services_changed()


@pytest.mark.parametrize("by", [NAMED, LABELLED])
def test_a_rule_follows_the_services_that_it_names(by: str) -> None:
    """Services come after the policy, change their selector or labels, lose them for addresses, and go."""
    state = PolicyState()
    state.add_endpoint(workload("web"), [ip_address("10.0.0.1")])
    db, cache = (state.acquire_identity(workload(app)) for app in ("db", "cache"))
    before = dict(state.map.items())
    state.apply(read(BY_SERVICE.format(by)))
    isolated = dict(state.map.items())
    serve(state, SERVICE.format(tier="data", selector="{app: db}"))
    assert {key.peer for key, _ in state.map.items() if key.peer} == {db}
    serve(state, SERVICE.format(tier="data", selector="{app: cache}"))
    assert {key.peer for key, _ in state.map.items() if key.peer} == {cache}
    serve(state, SERVICE.format(tier="data", selector="{}") + "---\n" + SLICE.format("192.0.2.1"))
    assert names(state) == {"cidr:192.0.2.1/32 reserved:world"}
    serve(state, SLICE.format("192.0.2.2"))
    assert names(state) == {"cidr:192.0.2.2/32 reserved:world"}
    serve(state, SERVICE.format(tier="other", selector="{app: db}"))
    assert {key.peer for key, _ in state.map.items() if key.peer} == ({db} if by == NAMED else set())
    state.services.take_away("Service/default/db")
    state.services_changed()
    assert dict(state.map.items()) == isolated
    state.delete(["CiliumNetworkPolicy/default/s"])
    assert dict(state.map.items()) == before


def test_a_service_changes_no_rule_that_speaks_of_others() -> None:
    """What a service does not touch stays: no entry, no prefix and no identity is written anew."""
    state = PolicyState()
    state.add_endpoint(workload("web"), [ip_address("10.0.0.1")])
    state.acquire_identity(workload("db"))
    state.apply(read(BY_SERVICE.format(NAMED)))
    serve(state, SERVICE.format(tier="data", selector="{app: db}"))
    state.take_changes()
    serve(state, SERVICE.format(tier="other", selector="{app: db}"))
    serve(state, SERVICE.format(tier="data", selector="{app: cache}").replace("name: db", "name: cache"))
    assert not state.take_changes()


def test_what_is_staged_follows_services_too() -> None:
    """A staged rule that names a service means the same backends as one in force."""
    state = PolicyState()
    state.add_endpoint(workload("web"), [ip_address("10.0.0.1")])
    db = state.acquire_identity(workload("db"))
    (policy,) = read(BY_SERVICE.format(NAMED))
    state.stage({policy.uid: policy})
    serve(state, SERVICE.format(tier="data", selector="{app: db}"))
    assert {(key.staged, key.peer) for key, _ in state.map.items() if key.peer} == {(True, db)}
    state.services.take_away("Service/default/db")
    state.services_changed()
    assert not {key.peer for key, _ in state.map.items() if key.peer}
