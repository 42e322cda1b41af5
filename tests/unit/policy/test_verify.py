from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ringfence.abi import Direction, PeerKind, Verdict
from ringfence.identity.ipcache import Known
from ringfence.identity.prefixes import Address, Network, NetworkSet, host_network
from ringfence.policy.evaluate import Oracle
from ringfence.policy.held import Table
from ringfence.policy.lookup import Lookup
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.parties import complete_world, place, subjects
from ringfence.policy.test import CompiledWorld, compile_world
from ringfence.policy.verify import Proof, prove, verify
from ringfence.traffic import Traffic
from ringfence.verdict import RuleText
from tests.generated.pieces import Json
from tests.generated.worlds import parsed as parse_generated
from tests.generated.worlds import worlds

SPECS = sorted((Path(__file__).parents[2] / "spec").glob("*.yaml"))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
SHOP = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
status: {podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "95", protocol: TCP}]}]
  - fromCIDR: [192.0.2.0/24]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: block}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{ipBlock: {cidr: 10.0.0.0/30, except: [10.0.0.3/32]}}]
    ports: [{port: 53, protocol: UDP}]
"""
Entries = dict[PolicyKey, tuple[RuleText, ...]]
Prefixes = dict[Network, Known]


class Places:
    """An ipcache made of plain values."""

    def __init__(self, known: Prefixes) -> None:
        self._known = known
        self._networks = NetworkSet()
        for network in known:
            self._networks.add(network)

    def items(self) -> list[tuple[Network, Known]]:
        return list(self._known.items())

    def lookup(self, address: Address) -> Known:
        longest = self._networks.longest(host_network(address))
        return Known(2, 0) if longest is None else self._known[longest]


def compiled_of(text: str) -> CompiledWorld:
    return compile_world(complete_world(parse_documents([Source("shop.yaml", text)])))


def held(compiled: CompiledWorld) -> tuple[Entries, Prefixes]:
    state = compiled.state
    return {key: state.map.tied(key) for key, _ in state.map.items()}, dict(state.ipcache.items())


def proof_of(compiled: CompiledWorld, entries: Entries, prefixes: Prefixes) -> Proof:
    return prove(compiled.world, Table(entries), Places(prefixes))


def refuted(change: Callable[[Entries, Prefixes], None]) -> str:
    """The packet that shows what a change has done to the compiled state of the shop."""
    compiled = compiled_of(SHOP)
    entries, prefixes = held(compiled)
    assert proof_of(compiled, entries, prefixes).equal
    change(entries, prefixes)
    found = proof_of(compiled, entries, prefixes)
    assert not found.equal
    assert found.to_dict()["counterexample"] is not None
    return str(found.counterexample)


def entry(entries: Entries, port: int, prefix: int = 24) -> PolicyKey:
    return next(key for key in entries if (key.port, key.prefix) == (port, prefix))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_is_proven(path: Path) -> None:
    """For every file of the corpus the compiled entries are equal to the policies over all classes."""
    proof = verify(parse_documents([Source(path.name, path.read_text())], strict=False))
    assert proof.counterexample is None
    assert proof.classes >= proof.compared > 0


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(worlds())
def test_every_world_is_proven(documents: list[Json]) -> None:
    """Whatever world, the proof finds the compiled entries equal."""
    proof = verify(parse_generated(documents))
    assert proof.counterexample is None, proof.counterexample


def test_a_lost_entry_is_found() -> None:
    """An entry that is missing denies what its rule allows; the packet is named by both ends and its port."""

    def lose(entries: Entries, _prefixes: Prefixes) -> None:
        del entries[entry(entries, 95)]

    assert refuted(lose) == "default/client (10.0.0.2) -> default/web (10.0.0.1) 95/TCP, ingress"


def test_a_widened_port_is_found() -> None:
    """An entry for ports that begin where no rule's range begins is found by its own edges."""

    def widen(entries: Entries, _prefixes: Prefixes) -> None:
        key = entry(entries, 95)
        entries[key._replace(port=80, prefix=20)] = entries.pop(key)

    assert "80/TCP" in refuted(widen)


def test_a_flipped_verdict_is_found() -> None:
    """An entry that denies where its rule allows."""

    def flip(entries: Entries, _prefixes: Prefixes) -> None:
        key = entry(entries, 53)
        entries[key] = tuple(replace(text, verdict=Verdict.DENY) for text in entries[key])

    assert "53/UDP" in refuted(flip)


def test_the_right_verdict_by_the_wrong_rule_is_found() -> None:
    """An entry that allows as it should, but names another rule."""

    def rename(entries: Entries, _prefixes: Prefixes) -> None:
        other = entries[entry(entries, 95)]
        entries[entry(entries, 53)] = other

    assert "53/UDP" in refuted(rename)


def test_an_entry_of_a_protocol_that_no_rule_names_is_found() -> None:
    """What no policy speaks of is asked about as the map has it."""

    def add(entries: Entries, _prefixes: Prefixes) -> None:
        key = entry(entries, 95)
        entries[key._replace(port=0, protocol=47, prefix=8)] = entries[key]

    assert "0/47" in refuted(add)


def test_a_wrong_class_of_an_address_is_found() -> None:
    """An address that is taken for one outside of the block that it lies in."""

    def move(_entries: Entries, prefixes: Prefixes) -> None:
        client = host_network(IPv4Address("10.0.0.2"))
        prefixes[client] = prefixes[client]._replace(prefix_class=0)

    assert "10.0.0.2" in refuted(move)


def test_a_wrong_identity_of_an_address_is_found() -> None:
    """An address that is taken for another workload's."""

    def move(_entries: Entries, prefixes: Prefixes) -> None:
        web, client = (prefixes[host_network(IPv4Address(text))] for text in ("10.0.0.1", "10.0.0.2"))
        prefixes[host_network(IPv4Address("198.51.100.7"))] = client._replace(prefix_class=0)
        assert web != client

    assert "198.51.100.7" in refuted(move)


def test_selectors_of_nobody_are_proven_with_somebody() -> None:
    """Without any workload the policies' own selectors make the subjects and peers."""
    alone = SHOP.partition("apiVersion: cilium")
    proof = verify(parse_documents([Source("policies.yaml", "".join(alone[1:]))]))
    assert proof.equal
    assert proof.entries > 4


PORTS = (0, 1, 52, 53, 54, 69, 70, 80, 81, 90, 91, 8000, 8080, 8191, 8192, 65535)


def disagreement(compiled: CompiledWorld, entries: Entries, prefixes: Prefixes) -> str:
    """A packet on which the two differ, looked for among a great many, one by one; empty if there is none."""
    oracle, lookup, places = Oracle(compiled.world), Lookup(Table(entries)), Places(prefixes)
    placed = place(compiled.world, places)
    for subject in subjects(placed, oracle):
        for peer in (each for each in placed if each.address.version == subject.address.version):
            for traffic in (Traffic(protocol, port) for protocol in (6, 17, 132, 47) for port in PORTS):
                expected = oracle.judge(peer.as_peer, subject.as_subject, traffic).ingress
                found = lookup.decide(Direction.INGRESS, subject.known.identity, peer.known, traffic)
                assert expected is not None
                if expected.verdict != found.verdict:
                    return f"{peer.actor.name} -> {subject.actor.name} {traffic}"
    return ""


def mutate(draw: st.DataObject, entries: Entries, prefixes: Prefixes) -> None:
    """One fault as a compiler or a stranger could make it."""
    key = draw.draw(st.sampled_from(sorted(entries)))
    network = draw.draw(st.sampled_from(sorted(prefixes, key=str)))
    fault = draw.draw(st.sampled_from(("drop", "flip", "widen", "peer", "class", "identity")))
    if fault == "drop":
        del entries[key]
    elif fault == "flip":
        other = {Verdict.ALLOW: Verdict.DENY}.get(entries[key][0].verdict, Verdict.ALLOW)
        entries[key] = tuple(replace(text, verdict=other) for text in entries[key])
    elif fault == "widen":
        prefix = max(key.prefix - 1, 0) if key.prefix > 8 else 0
        kept = key.port >> (24 - prefix) << (24 - prefix) if prefix > 8 else 0
        wide = key._replace(prefix=prefix, port=kept, protocol=key.protocol if prefix else 0)
        entries[wide] = entries.pop(key)
    elif fault == "peer":
        entries[key._replace(peer=0, peer_kind=int(PeerKind.ANY))] = entries.pop(key)
    elif fault == "class":
        prefixes[network] = prefixes[network]._replace(prefix_class=draw.draw(st.sampled_from((0, 16777217))))
    else:
        prefixes[network] = prefixes[network]._replace(identity=draw.draw(st.sampled_from((1, 2, 256, 257))))


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(worlds(), st.data())
def test_every_fault_that_a_packet_shows_is_found(documents: list[Json], data: st.DataObject) -> None:
    """Where asking packets one by one finds a difference, the proof does; and the packet that it names does differ."""
    compiled = compile_world(complete_world(parse_generated(documents)))
    entries, prefixes = held(compiled)
    assume(entries)
    mutate(data, entries, prefixes)
    found = proof_of(compiled, entries, prefixes)
    if found.equal:
        assert disagreement(compiled, entries, prefixes) == ""
    else:
        shown = found.counterexample
        assert shown is not None
        told = (shown.map.verdict, shown.map.reason, shown.map.rule)
        assert told != (shown.oracle.verdict, shown.oracle.reason, shown.oracle.rule)


def test_progress_is_told_by_subjects() -> None:
    """Whoever waits is told how many subjects are done, and that all are."""
    told: list[tuple[int, int]] = []
    proof = verify(parse_documents([Source("shop.yaml", SHOP)]), progress=lambda *each: told.append(each))
    assert told[-1] == (proof.subjects, proof.subjects)
    assert len(told) == proof.subjects + 1
