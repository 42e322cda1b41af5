from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Literal

import httpx
import pytest

from ringfence.api.client import Client
from ringfence.api.shapes import EntryRequest
from ringfence.errors import BadInput, NotFound, RingfenceError, Unavailable
from tests.unit.api.running import Running
from tests.unit.engine.script import WEB
from tests.unit.flow.batch import event

BROKEN = WEB.replace("endpointSelector", "endpointSelecter").replace('"80"', '"99999"')
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {team: blue}}
"""
WEB_UID = "CiliumNetworkPolicy/default/web"


@pytest.fixture
def client(agent: Running) -> Iterator[Client]:
    with Client(str(agent.socket)) as found:
        yield found


def add(client: Client, name: str, number: int, *labels: str) -> None:
    client.put_endpoint(name, netns=str(number), labels=labels)


def test_socket_is_its_owners_alone(agent: Running) -> None:
    """Nobody but the owner may open the socket."""
    assert 0o600 == stat.S_IMODE(agent.socket.stat().st_mode)


def test_no_agent_says_how_to_start_one(tmp_path: Path) -> None:
    """Where nobody answers, the error says so and what to do."""
    with (
        Client(str(tmp_path / "none.sock")) as client,
        pytest.raises(Unavailable, match="start one with: ringfence agent"),
    ):
        client.status()


def test_endpoint_comes_and_goes(client: Client) -> None:
    """An endpoint is put, shown, listed and deleted; then it is not found."""
    answer = client.put_endpoint("default/web", netns="1", labels=["app=web"])
    assert answer["labels"] == ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=default"]
    assert (answer["addresses"], answer["ifindex"], answer["state"]) == (["10.0.0.1"], 11, "ready")
    assert answer == client.endpoint("default/web") == client.endpoints()[0]
    assert {"id": 256, "labels": answer["labels"]} == client.identity(256)
    assert client.delete_endpoint("default/web")["revision"] > 1
    with pytest.raises(NotFound, match="no endpoint is named 'default/web'"):
        client.endpoint("default/web")


def test_endpoint_without_labels_is_init(client: Client) -> None:
    """An endpoint of which nothing is known is enforced in both directions."""
    answer = client.put_endpoint("x", netns="1")
    assert (answer["identity"], answer["labels"]) == (5, ["reserved:init"])
    assert answer["enforcement"] == {"ingress": True, "egress": True}


def test_labels_of_the_system_are_refused(client: Client) -> None:
    """Nobody takes an identity that only the system gives, such as the host's."""
    for label in ("reserved:host", "cidr:10.0.0.0/8"):
        with pytest.raises(BadInput, match="the system's to give"):
            client.put_endpoint("x", netns="1", labels=[label])


def test_policy_is_applied_shown_and_deleted(client: Client) -> None:
    """A policy is applied in one commit, shown as it was written, and deleted."""
    add(client, "web", 1, "app=web")
    add(client, "client", 2, "app=client")
    answer = client.apply_policies([("web.yaml", WEB)])
    assert answer["applied"] == [WEB_UID]
    assert answer["revision"] == client.status()["revision"]
    shown = client.policy(WEB_UID)
    assert (shown["origin"], shown["rules"]) == ("web.yaml:2", 1)
    assert "endpointSelector" in shown["text"]
    assert client.endpoint("web")["enforcement"] == {"ingress": True, "egress": False}
    entry = next(each for each in client.entries() if each["traffic"] == "80/TCP")
    assert (entry["direction"], entry["action"], entry["policy"]) == ("ingress", "allow", WEB_UID)
    assert entry["peer_labels"][0] == "k8s:app=client"
    assert client.delete_policies([WEB_UID])["applied"] == [WEB_UID]
    assert client.policies() == []


def test_labels_of_a_namespace_come_with_its_manifest(client: Client) -> None:
    """A Namespace among the applied files gives its labels to the workloads in it, present and to come."""
    add(client, "web", 1, "app=web")
    client.apply_policies([("ns.yaml", NAMESPACE)])
    add(client, "client", 2, "app=client")
    wanted = "k8s:io.cilium.k8s.namespace.labels.team=blue"
    assert all(wanted in endpoint["labels"] for endpoint in client.endpoints())


def test_bad_input_names_every_place(agent: Running, client: Client) -> None:
    """All problems of a file come back with their places, and nothing of it is applied."""
    commits = agent.kernel.commits
    with pytest.raises(BadInput) as caught:
        client.apply_policies([("bad.yaml", BROKEN)])
    assert {"bad.yaml"} == {problem.file for problem in caught.value.problems}
    assert len(caught.value.problems) >= 2
    assert commits == agent.kernel.commits


def test_unknown_things_are_not_found(client: Client) -> None:
    """What does not exist is not found, whatever it is."""
    for ask in (
        lambda: client.policy("CiliumNetworkPolicy/default/none"),
        lambda: client.delete_policies(["CiliumNetworkPolicy/default/none"]),
        lambda: client.identity(9999),
        lambda: client.put_endpoint("x", netns="nowhere", labels=["app=x"]),
        lambda: client.ipcache("203.0.113.1"),
        lambda: client.map("none"),
    ):
        with pytest.raises(NotFound):
            ask()


def test_refused_commit_leaves_everything_as_it_was(agent: Running, client: Client) -> None:
    """When the kernel refuses a commit, the request fails, and state, journal and kernel are as before."""
    add(client, "web", 1, "app=web")
    before = client.entries(), client.ipcache(), dict(agent.journal.items("endpoint"))
    agent.kernel.refuse = 1
    with pytest.raises(RingfenceError, match="the map is full"):
        add(client, "client", 2, "app=client")
    assert before == (client.entries(), client.ipcache(), dict(agent.journal.items("endpoint")))
    add(client, "client", 2, "app=client")
    assert client.endpoint("client")["state"] == "ready"


def test_manual_entries(client: Client) -> None:
    """An entry set by hand shows its origin; deleting it twice is not found."""
    add(client, "web", 1, "app=web")
    key = {"direction": "ingress", "subject": 256, "peer": 2, "port": 22, "protocol": 6}
    client.set_entry({**key, "action": "deny"})  # type: ignore[typeddict-item] # direction is a literal
    (entry,) = client.entries(subject=256, peer=2)
    assert (entry["origin"], entry["action"], entry["prefix"]) == ("manual", "deny", 24)
    client.delete_entry(key)  # type: ignore[arg-type] # likewise
    with pytest.raises(NotFound):
        client.delete_entry(key)  # type: ignore[arg-type] # likewise


def test_concurrent_changes_share_commits(agent: Running, client: Client) -> None:
    """Changes that come together become fewer commits than there are changes, and one bad one harms no other."""

    def put(number: int) -> str:
        with Client(str(agent.socket)) as own:
            address_taken = number == 13
            try:
                own.put_endpoint(f"w{number}", netns=str(12 if address_taken else number), labels=["app=w"])
            except RingfenceError as error:
                return str(error)
            return ""

    before = agent.kernel.commits
    with ThreadPoolExecutor(10) as pool:
        errors = list(pool.map(put, range(1, 31)))
    assert 1 == sum(1 for error in errors if error)
    assert 29 == len(client.endpoints())
    assert agent.kernel.commits - before < 29


def test_events_are_streamed_and_filtered(agent: Running, client: Client) -> None:
    """From the moment the stream is open every event is in it, if it was asked for."""
    with client.events(to=["10.0.0.1"]) as stream:
        agent.publish(event(destination="10.0.0.9", revision=1))
        agent.publish(event(revision=2))
        flow = next(stream)
        assert (flow["revision"], flow["port"]) == (2, "8080/TCP")  # type: ignore[typeddict-item] # a flow, not a loss
    with pytest.raises(BadInput, match="no event type"), client.events(type="deny"):
        pass


def test_stream_ends_with_the_agent(agent: Running, client: Client) -> None:
    """When the agent stops, a stream ends and is not left hanging."""
    with client.events() as stream:
        agent.stop()
        assert [] == list(stream)


def test_large_answers_come_whole(client: Client) -> None:
    """An answer of more elements than are written in one go is the same document, and so is one of none."""
    assert client.entries(subject=9999) == []
    listed = [f'{{ports: [{{port: "{port}", protocol: TCP}}]}}' for port in range(1, 1400, 2)]
    add(client, "web", 1, "app=web")
    add(client, "client", 2, "app=client")
    text = WEB.replace('[{ports: [{port: "80", protocol: TCP}]}]', f"[{', '.join(listed)}]")
    client.apply_policies([("web.yaml", text)])
    shown = client.entries()
    assert {f"{port}/TCP" for port in range(1, 1400, 2)} <= {each["traffic"] for each in shown}


def test_openapi_is_served(agent: Running) -> None:
    """The contract of the API is served by it."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(agent.socket))) as http:
        paths = http.get("http://ringfence/openapi.json").json()["paths"]
    assert {"/v1/status", "/v1/policies", "/v1/bpf/policy", "/v1/events"} <= paths.keys()


def test_bad_requests_say_what_is_wrong(agent: Running) -> None:
    """A request of another shape is refused by one line that names the field."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(agent.socket))) as http:
        answer = http.put("http://ringfence/v1/endpoints/x", json={"labels": "app=web"})
    assert answer.status_code == 400
    assert "netns" in answer.json()["error"]
    assert answer.json()["problems"] == []


def _entry(port: int, action: Literal["allow", "deny"]) -> EntryRequest:
    return {"direction": "ingress", "subject": 256, "peer": 2, "port": port, "protocol": 6, "action": action}


def test_entries_by_hand_are_one_commit_or_none(agent: Running, client: Client) -> None:
    """Several entries are set and deleted by one commit; if one of them cannot be, none is."""
    add(client, "web", 1, "app=web")
    before = agent.kernel.commits
    client.change_entries(set_=[_entry(22, "deny"), _entry(23, "deny")])
    assert before + 1 == agent.kernel.commits
    with pytest.raises(NotFound):
        client.change_entries(set_=[_entry(25, "allow")], delete=[_entry(22, "deny"), _entry(24, "deny")])
    assert [22, 23] == [entry["port"] for entry in client.entries(by_hand=True)]
    client.change_entries(set_=[_entry(25, "allow")], delete=[_entry(22, "deny"), _entry(23, "deny")])
    assert before + 2 == agent.kernel.commits
    assert [25] == [entry["port"] for entry in client.entries(by_hand=True)]


def test_subjects_have_their_policies(client: Client) -> None:
    """Each identity of an endpoint tells the policies that its entries come from; the defaults are none."""
    client.apply_policies([("web.yaml", WEB)])
    add(client, "web", 1, "app=web")
    add(client, "client", 2, "app=client")
    found = {each["identity"]: each["policies"] for each in client.subjects()}
    assert found == {client.endpoint("web")["identity"]: [WEB_UID], client.endpoint("client")["identity"]: []}


def test_an_interrupted_stream_ends_for_its_reader(agent: Running) -> None:
    """A reader that waits for a verdict that never comes is woken by whoever interrupts it."""
    with Client(str(agent.socket)) as client, client.events() as events:
        waker = Thread(target=client.interrupt)
        waker.start()
        with pytest.raises(Unavailable):
            next(events)
        waker.join()
