from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.abi import Direction, Verdict
from ringfence.errors import BadInput
from ringfence.identity.reserved import Reserved
from ringfence.labels import Labels, workload_labels
from ringfence.policy.evaluate import Oracle
from ringfence.policy.learning.grants import Folding, Kind
from ringfence.policy.learning.learn import Learned, Wanted, learn
from ringfence.policy.learning.prove import Judge
from ringfence.policy.learning.seen import Connection, End, Evidence, Observation, Seen
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.world import World
from ringfence.traffic import Protocol, Traffic, parse_traffic

KINDS: list[Kind] = ["CiliumNetworkPolicy", "NetworkPolicy"]


def workload(namespace: str, number: int = 1, **labels: str) -> End:
    written = Labels.parse(f"{key}={value}" for key, value in labels.items())
    return End.of(workload_labels(written, namespace), ip_address(f"10.0.0.{number}"), f"{namespace}/{number}")


def world(address: str) -> End:
    return End.of(Labels([Reserved.WORLD.label]), ip_address(address))


def host() -> End:
    return End.of(Labels([Reserved.HOST.label]), ip_address("192.168.1.1"))


def seen(*connections: tuple[End, End, str]) -> Seen:
    return Seen(
        Observation(Connection(source, destination, parse_traffic(port)), f"flows:{number}")
        for number, (source, destination, port) in enumerate(connections, 1)
    )


def of_kind(learned: Learned, name: str) -> dict[str, Any]:
    [found] = [each for each in yaml.safe_load_all(learned.text) if each and each["metadata"]["name"] == name]
    spec: dict[str, Any] = found["spec"]
    return spec


FRONT = workload("shop", 1, app="front", **{"pod-template-hash": "abc"})
FRONT_2 = workload("shop", 2, app="front", **{"pod-template-hash": "def"})
BACK = workload("shop", 3, app="back")
OTHER = workload("other", 4, app="back")


@pytest.mark.parametrize("kind", KINDS)
def test_replicas_are_one_group_and_their_hashes_are_not_named(kind: Kind) -> None:
    """Two replicas of one application share a rule that means them by the label that they keep."""
    learned = learn(seen((FRONT, BACK, "80/TCP"), (FRONT_2, BACK, "80/TCP")), Wanted(kind))
    assert learned.complete
    assert "pod-template-hash" not in learned.text
    assert "10.0.0." not in learned.text
    assert [draft.name for draft in learned.drafts] == ["back", "front"]


def test_what_was_not_seen_is_denied() -> None:
    """A learned set isolates: another port, the way back, and another namespace's workload of the same label."""
    learned = learn(seen((FRONT, BACK, "80/TCP"), (OTHER, FRONT, "81/TCP")))
    judge = Judge(learned.policies)
    others = [(FRONT, BACK, "443/TCP"), (BACK, FRONT, "80/TCP"), (OTHER, BACK, "80/TCP"), (BACK, FRONT, "81/TCP")]
    wanted = list(seen(*others).connections)
    assert [each.connection for each in judge.denied(wanted)] == wanted


def test_a_rule_names_the_flows_that_need_it() -> None:
    """Above each rule stands which connections need it, how many flows they were, and where the first is told."""
    found = seen((FRONT, BACK, "80/TCP"), (FRONT, BACK, "80/TCP"))
    text = learn(found).text
    assert text.count("    # shop/1 -> shop/3 80/TCP: 2 flows, the first flows:1\n") == 2
    assert "# Learned from 2 flows of 1 connection.\n" in text


def test_addresses_are_folded_only_as_far_as_told() -> None:
    """Without folding each outside address stands for itself; with it, for the prefix of the length given."""
    found = seen((BACK, world("203.0.113.1"), "443/TCP"), (BACK, world("203.0.113.9"), "443/TCP"))
    alone = learn(found)
    assert "203.0.113.1/32" in alone.text
    assert "203.0.113.9/32" in alone.text
    folded = learn(found, Wanted(folding=Folding(v4=24)))
    assert "203.0.113.0/24" in folded.text
    assert "/32" not in folded.text
    assert folded.complete


def test_icmp_by_type_and_nothing_in_network_policy() -> None:
    """Cilium's policies name ICMP types; NetworkPolicy cannot, and then it is said that a connection is not covered."""
    found = seen((FRONT, BACK, "echo-request/ICMP"), (FRONT, BACK, "80/TCP"))
    learned = learn(found)
    assert learned.complete
    assert "icmps" in learned.text
    kubernetes = learn(found, Wanted("NetworkPolicy"))
    assert not kubernetes.complete
    assert list(kubernetes.unsayable.values()) == ["NetworkPolicy has no word for ICMP"]
    assert "# Not covered: shop/1 -> shop/3 echo-request/ICMP" in kubernetes.text


def test_the_node_needs_no_rule_in_network_policy() -> None:
    """NetworkPolicy lets a workload's own node in by itself; Cilium's policies name the entity."""
    found = seen((host(), BACK, "8080/TCP"))
    assert "- host" in learn(found).text
    kubernetes = learn(found, Wanted("NetworkPolicy"))
    assert kubernetes.complete
    assert "192.168.1.1" not in kubernetes.text


def test_by_names_the_labels() -> None:
    """`by` takes the place of the usual labels; one of a rollout is refused."""
    front, back = workload("shop", 1, app="x", tier="front"), workload("shop", 2, app="x", tier="back")
    learned = learn(seen((front, back, "80/TCP")), Wanted(by=("tier",)))
    assert [draft.name for draft in learned.drafts] == ["back", "front"]
    assert "app" not in of_kind(learned, "back")["endpointSelector"]["matchLabels"]
    with pytest.raises(BadInput, match="pod-template-hash"):
        Wanted(by=("pod-template-hash",))


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_without_labels_is_meant_by_what_it_lacks(kind: Kind) -> None:
    """Its policy selects no workload that has the labels of the others."""
    bare = workload("shop", 9)
    learned = learn(seen((bare, BACK, "80/TCP")), Wanted(kind))
    assert learned.complete
    oracle = Oracle(World(learned.policies, {}, {}))
    assert {rule.policy.rpartition("/")[2] for rule in oracle.selecting(Direction.EGRESS, BACK.actor)} == {"back"}
    assert {rule.policy.rpartition("/")[2] for rule in oracle.selecting(Direction.EGRESS, bare.actor)} == {"others"}


def test_many_ports_are_split_at_the_limit_of_a_list() -> None:
    """Cilium takes 40 ports in a list; 50 that were seen are two rules, all allowed."""
    learned = learn(seen(*((FRONT, BACK, f"{port}/TCP") for port in range(1000, 1050))))
    assert learned.complete
    assert len(of_kind(learned, "back")["ingress"]) == 2


def test_a_broader_group_makes_a_narrower_rule_needless() -> None:
    """Where two groups overlap, a rule that another one serves for is left out."""
    plain = workload("shop", 1, app="web")
    named = workload("shop", 2, app="web", **{"app.kubernetes.io/name": "named"})
    learned = learn(seen((plain, BACK, "80/TCP"), (named, BACK, "80/TCP")))
    assert learned.complete
    back = of_kind(learned, "back")["ingress"]
    assert back[0]["fromEndpoints"] == [{"matchLabels": {"app": "web"}}]


KEYS = st.dictionaries(
    st.sampled_from(["app", "app.kubernetes.io/name", "tier", "pod-template-hash"]), st.sampled_from("abc"), max_size=3
)
WORKLOADS = st.builds(
    lambda namespace, number, labels: workload(namespace, number, **labels),
    st.sampled_from(["shop", "other"]),
    st.integers(1, 250),
    KEYS,
)
OUTSIDE = st.sampled_from(["203.0.113.1", "203.0.113.2", "198.51.100.7", "10.0.0.77"]).map(world)
ENDS = st.one_of(WORKLOADS, WORKLOADS, OUTSIDE, st.just(host()))
TRAFFIC = st.one_of(
    st.builds(Traffic, st.sampled_from([Protocol.TCP, Protocol.UDP, Protocol.SCTP]), st.sampled_from([53, 80, 443])),
    st.just(Traffic(Protocol.ICMP, 8)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(ENDS, ENDS, TRAFFIC), min_size=1, max_size=25),
    st.sampled_from(KINDS),
    st.sampled_from([(), ("tier",), ("app", "tier")]),
    st.sampled_from([8, 24, 32]),
)
def test_what_is_learned_is_sufficient_and_minimal(
    flows: list[tuple[End, End, Traffic]], kind: Kind, by: tuple[str, ...], fold: int
) -> None:
    """In random worlds: the text, read back, allows each connection that it can speak of; without any one rule a
    connection is denied that was allowed. Both are found here by the evaluator, not taken from the proof.
    """
    found = Seen()
    for source, destination, traffic in flows:
        found.connections.setdefault(Connection(source, destination, traffic), Evidence(1, "flows:1"))
    learned = learn(found, Wanted(kind, by, Folding(v4=fold)))
    assert learned.proof.holds, learned.proof.to_dict()
    policies = parse_documents([Source("learned", learned.text)]).policies if learned.drafts else ()
    covered = [each for each in found.connections if each not in learned.unsayable]
    assert not list(Judge(policies).denied(covered))
    for policy in policies:
        for rule in policy.rules:
            if rule.default_deny and (rule.peers.selectors or rule.peers.outside or rule.peers.addresses):
                silent = replace(rule, peers=replace(rule.peers, selectors=(), outside=(), addresses=()))
                rest = tuple(silent if each is rule else each for each in policy.rules)
                fewer = [replace(each, rules=rest) if each is policy else each for each in policies]
                assert list(Judge(fewer).denied(covered)), f"nobody needs {rule.place}"


def test_the_proof_finds_what_is_wrong() -> None:
    """The verdict of the proof is the evaluator's: a set that lost a rule is refuted by the connection it denies."""
    learned = learn(seen((FRONT, BACK, "80/TCP")))
    policies = [policy for policy in learned.policies if policy.name == "back"]
    silent = [
        replace(policy, rules=tuple(replace(rule, peers=replace(rule.peers, selectors=())) for rule in policy.rules))
        for policy in policies
    ]
    [denied] = Judge(silent).denied(learned.seen.connections)
    assert denied.judgement.verdict is Verdict.DENY
    assert str(denied).startswith("shop/1 -> shop/3 80/TCP: ")
