from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.errors import BadInput
from ringfence.flow.recorded import Recording
from ringfence.policy.learning.learn import learn
from ringfence.policy.learning.seen import Observation, Seen
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.world import build_world

FRONT = ["k8s:app=front", "k8s:io.kubernetes.pod.namespace=shop"]
BACK = ["k8s:app=back", "k8s:io.kubernetes.pod.namespace=shop"]


def hubble(l4: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    flow = {
        "verdict": "FORWARDED",
        "IP": {"source": "10.0.0.1", "destination": "10.0.0.2"},
        "l4": l4 or {"TCP": {"source_port": 4000, "destination_port": 80}},
        "source": {"labels": FRONT, "namespace": "shop", "pod_name": "front-1"},
        "destination": {"labels": BACK, "namespace": "shop", "pod_name": "back-1"},
        "is_reply": False,
    }
    return {"flow": {name: value for name, value in (flow | fields).items() if value is not None}}


def own(**fields: Any) -> dict[str, Any]:
    ends = {
        "source": {"labels": FRONT, "address": "10.0.0.1", "endpoint": "shop/front-1", "port": 4000},
        "destination": {"labels": BACK, "address": "10.0.0.2", "endpoint": "shop/back-1", "port": 80},
    }
    return {**ends, "port": "80/TCP", "verdict": "allow", "reason": "forwarded", "status": "new"} | fields


def exported(**fields: Any) -> dict[str, Any]:
    row = {
        "source_address": "10.0.0.1", "source_labels": ",".join(FRONT), "source_endpoint": "shop/front-1",
        "destination_address": "10.0.0.2", "destination_labels": ",".join(BACK), "destination_endpoint": "shop/back-1",
    }  # fmt: skip
    return {**row, "port": "80/TCP", "verdict": "allow", "reason": "forwarded", "status": "new"} | fields


def read(document: dict[str, Any], *, denied: bool = False) -> Observation:
    [found] = Recording(denied=denied).lines("flows.json", ["\n", json.dumps(document)])
    return found


@pytest.mark.parametrize("document", [hubble(), own(), exported()], ids=["hubble", "monitor", "export"])
def test_every_form_tells_the_same_connection(document: dict[str, Any]) -> None:
    """What `observe`, `monitor` and `flows export` write of a flow is the same connection, told at its line."""
    found = read(document)
    assert str(found.connection) == "shop/front-1 -> shop/back-1 80/TCP"
    assert found.where == "flows.json:2"
    assert found.connection is not None
    assert found.connection.source.labels.texts() == FRONT


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (hubble(is_reply=True), "reply"),
        (own(status="reply"), "reply"),
        (exported(status="reply"), "reply"),
        (hubble({"ICMPv4": {"type": 0}}), "reply"),
        (hubble({"ICMPv4": {"type": 3}}, is_reply=None), "part of another connection (ICMP error)"),
        (own(status="related"), "part of another connection (ICMP error)"),
        (hubble(verdict="DROPPED", drop_reason_desc="POLICY_DENIED"), "denied by policy"),
        (own(verdict="deny", reason="policy deny rule"), "denied by policy"),
        (hubble(verdict="DROPPED", drop_reason_desc="INVALID_SOURCE_IP"), "dropped, but not by policy"),
        (own(port="0/47"), "a protocol that policies do not know"),
    ],
)
def test_what_nothing_is_learned_of_is_counted(document: dict[str, Any], why: str) -> None:
    """Replies, ICMP errors and drops are no connections; why is said, so that it can be counted."""
    found = read(document)
    assert found.connection is None
    assert Seen([found]).passed_over == {why: 1}


def test_denied_flows_count_when_asked_for() -> None:
    """With `denied` a connection that a policy denied is one; what was malformed still is none."""
    assert read(own(verdict="deny", reason="policy denied"), denied=True).connection is not None
    assert read(own(verdict="deny", reason="invalid source"), denied=True).connection is None


def test_replicas_are_one_end_unless_told_apart_by_address() -> None:
    """Flows of two replicas are one connection of two flows; two with `by_address`."""
    ends = [own(), own(source={"labels": FRONT, "address": "10.0.0.9", "endpoint": "shop/front-2", "port": 1})]
    lines = [json.dumps(each) for each in ends]
    assert [each.flows for each in Seen(Recording().lines("f", lines)).connections.values()] == [2]
    assert len(Seen(Recording(by_address=True).lines("f", lines)).connections) == 2


def test_manifests_tell_the_labels_that_a_recording_does_not() -> None:
    """An end without labels is the pod of its name, or at its address; what no manifest knows is the world's."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop, labels: {app: x}}\nstatus: {podIP: 10.0.0.1}"
    world = build_world(parse_documents([Source("pods.yaml", pod)]))
    flow = hubble(source={}, destination={})
    [found] = Recording(world).lines("f", [json.dumps(flow)])
    assert found.connection is not None
    assert found.connection.source.name == "shop/p"
    assert "k8s:app=x" in found.connection.source.labels.texts()
    assert found.connection.destination.entity == ""
    assert "reserved:world" in found.connection.destination.labels.texts()


def test_a_workload_that_names_no_namespace_is_in_the_default_one() -> None:
    """As everywhere: so the policy that is learned of it stands there, and selects it."""
    learned = learn(Seen(Recording().lines("f", [json.dumps(hubble(source={"labels": ["k8s:app=x"]}))])))
    assert learned.complete
    assert {draft.subject.namespace for draft in learned.drafts} == {"default", "shop"}


def test_a_flow_of_an_agent_that_is_none_is_bad_input() -> None:
    """There is no file to name: the time stands for the place."""
    with pytest.raises(BadInput, match="12:00: no flow that policies can speak of"):
        Recording().document(hubble(IP={"source": "x", "destination": "y"}), "12:00")


NONE = [
    json.dumps(hubble({"TCP": {"source_port": 1, "destination_port": 70000}})),
    json.dumps(hubble({"TCP": {"source_port": 1, "destination_port": float("inf")}})),
    json.dumps(hubble({"ICMPv4": {"type": 256}})),
    json.dumps(hubble(source={"labels": ["k8s:app=x", "k8s:io.kubernetes.pod.namespace=No_name"]})),
    json.dumps(hubble(IP={"source": "somewhere", "destination": "10.0.0.2"})),
    json.dumps(hubble(source={"labels": [{}]})),
    "[" * 100_000,
]


@pytest.mark.parametrize("line", [*NONE, "{", "[]", "3", '{"flow": {}}', '{"verdict": "allow"}', '{"flow": 1}'])
def test_a_line_that_is_no_flow_is_refused_with_its_place(line: str) -> None:
    """One error with file, line and what was expected."""
    with pytest.raises(BadInput, match=r"flows\.json:2:1: no .*; expected a flow a line") as caught:
        list(Recording().lines("flows.json", [json.dumps(own()), line]))
    assert caught.value.exit_code == 2
