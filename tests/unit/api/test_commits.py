from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ringfence.api.client import Client
from ringfence.cli.main import cli
from ringfence.errors import BadInput, NotFound, RingfenceError
from tests.unit.api.running import Running
from tests.unit.engine.script import OUTSIDE, WEB

WEB_UID = "CiliumNetworkPolicy/default/web"
WIDER = WEB.replace('"80"', '"8080"')
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {team: blue}}
"""


@pytest.fixture
def client(agent: Running) -> Iterator[Client]:
    with Client(str(agent.socket), why="because of a test") as found:
        yield found


def apply(client: Client, text: str, **more: Any) -> int:
    return client.apply_policies([("web.yaml", text)], **more)["revision"]


def port(client: Client) -> str:
    """The port that the one policy allows."""
    return "8080" if "8080" in client.policy(WEB_UID).get("text", "") else "80"


def run(agent: Running, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--socket", str(agent.socket), "policy", *arguments])


def test_history_tells_who_did_what_and_why(client: Client) -> None:
    """Each change is listed with the user that the kernel says it was, what became of which policy, and the reason."""
    apply(client, WEB)
    apply(client, WEB)
    apply(client, WIDER)
    client.delete_policies([WEB_UID])
    notes = [note for commit in client.commits() for note in commit["notes"]]
    assert [("apply", "added"), ("apply", "same"), ("apply", "changed"), ("delete", "removed")] == [
        (note["did"], note["changed"][WEB_UID]) for note in notes
    ]
    assert {(getpass.getuser(), "because of a test")} == {(note["by"], note["why"]) for note in notes}


def test_who_became_root_is_named_as_who_he_was(agent: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through sudo a change is its user's, not root's."""
    monkeypatch.setenv("SUDO_USER", "zoë")
    with Client(str(agent.socket)) as client:
        apply(client, WEB)
        assert [["zoë"]] == [[note["by"] for note in commit["notes"]] for commit in client.commits()]


def test_endpoints_are_told_only_when_asked(client: Client) -> None:
    """What becomes of endpoints is in the log, but only shown with everything."""
    client.put_endpoint("web", netns="1", labels=["app=web"])
    assert [] == client.commits()
    (commit,) = client.commits(everything=True)
    assert {"endpoint web": "added"} == commit["notes"][0]["changed"]


def test_rollback_restores_the_verdicts_of_a_revision(client: Client) -> None:
    """After a rollback the entries, the text and labels of namespaces are those of that revision; endpoints stay."""
    client.put_endpoint("web", netns="1", labels=["app=web"])
    first = apply(client, WEB)
    before = _verdicts(client)
    apply(client, f"{WIDER}---{OUTSIDE}---{NAMESPACE}")
    assert before != _verdicts(client)
    client.put_endpoint("late", netns="2", labels=["app=late"])
    applied = client.roll_back(first)
    assert {WEB_UID, "CiliumNetworkPolicy/default/outside"} == set(applied["applied"])
    assert before == _verdicts(client)
    assert client.endpoint("late")["name"] == "late"
    (note,) = client.commits()[-1]["notes"]
    assert f"rollback to {first}" == note["did"]


def test_rollback_of_entries_by_hand_and_services(client: Client) -> None:
    """Entries set by hand and services are as they were, too."""
    client.put_endpoint("web", netns="1", labels=["app=web"])
    apply(client, WEB)
    at = client.status()["revision"]
    client.delete_policies([WEB_UID])
    client.apply_policies([("service.yaml", SERVICE)])
    entry: Any = {"direction": "ingress", "subject": 256, "peer": 2, "port": 22, "protocol": 6, "action": "deny"}
    client.set_entry(entry)
    client.roll_back(at)
    assert [] == client.entries(by_hand=True)
    assert [] == client.services()
    assert [WEB_UID] == [policy["uid"] for policy in client.policies()]


def _verdicts(client: Client) -> Any:
    """What is judged, by which line, for which labels; numbers are given out anew."""
    identity = client.endpoint("web")["identity"]
    told = ("direction", "subject_labels", "peer_labels", "traffic", "action", "tier", "rule", "origin")
    entries = [[entry[name] for name in told] for entry in client.entries(identity)]  # type: ignore[literal-required] # of a tuple
    return sorted(entries), client.policy(WEB_UID), client.endpoint("web")["labels"]


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}], selector: {app: web}}
"""


def test_rollback_to_what_was_never_there(client: Client) -> None:
    """A revision that the log does not reach is refused, and nothing is changed."""
    revision = apply(client, WEB)
    with pytest.raises(NotFound, match="there was no revision 99 yet"):
        client.roll_back(99)
    assert revision == client.status()["revision"]


def test_a_change_that_is_not_confirmed_goes_back(client: Client) -> None:
    """Without a confirmation in time what was in force before is in force again, and the history says why."""
    apply(client, WEB)
    answer = client.apply_policies([("web.yaml", WIDER)], confirm_seconds=1)
    assert answer["goes_back_at"]
    assert port(client) == "8080"
    assert "goes back at" in client.status()["warnings"][0]
    while client.status()["warnings"]:
        """Its end is the only thing to wait for."""
    assert port(client) == "80"
    (note,) = client.commits()[-1]["notes"]
    assert ("ringfence", "take back", "not confirmed in time") == (note["by"], note["did"], note["why"])


def test_a_confirmed_change_stays(agent: Running, client: Client) -> None:
    """A confirmed change stays, after its time too: nothing waits any more."""
    apply(client, WIDER, confirm_seconds=1)
    client.confirm()
    assert [] == client.status()["warnings"]
    with pytest.raises(NotFound, match="no change waits to be confirmed"):
        client.confirm()
    assert ["apply", "confirm"] == [note["did"] for commit in client.commits() for note in commit["notes"]]
    assert agent.parts.commits.warnings() == []


def test_while_a_change_waits_no_other_is_taken(client: Client) -> None:
    """Another change is refused, with what to do first; taken back at once, the way is free."""
    apply(client, WEB)
    apply(client, WIDER, confirm_seconds=3600)
    for refused in (
        lambda: apply(client, OUTSIDE),
        lambda: client.delete_policies([WEB_UID]),
        lambda: client.roll_back(0),
    ):
        with pytest.raises(RingfenceError, match="first `ringfence policy confirm`, or `ringfence policy confirm --ta"):
            refused()
    client.take_back()
    assert port(client) == "80"
    client.delete_policies([WEB_UID])


def test_a_refused_change_does_not_wait(agent: Running, client: Client) -> None:
    """A change that the kernel refuses leaves nothing to confirm."""
    agent.kernel.refuse = 1
    with pytest.raises(RingfenceError, match="the map is full"):
        apply(client, WEB, confirm_seconds=60)
    assert [] == client.status()["warnings"]
    with pytest.raises(BadInput, match=r"0\.5 s is no time to confirm within"):
        apply(client, WEB, confirm_seconds=0.5)


def test_explain_tells_what_was_so_then(client: Client) -> None:
    """Asked of an earlier time, the answer is of the policies and endpoints of then."""
    client.put_endpoint("web", netns="1", labels=["app=web"])
    client.put_endpoint("front", netns="2", labels=["app=front"])
    apply(client, WEB)
    applied = client.delete_policies([WEB_UID])["revision"]
    before, _ = client.commits()
    then = before["time"]
    assert applied > before["revision"]
    asked: Any = {"source": _end("front"), "destination": _end("web"), "port": "99/TCP"}
    assert client.explain(asked)["verdict"] == "allow"
    asked["at"] = then
    found = client.explain(asked)
    assert found["verdict"] == "deny"
    client.delete_endpoint("front")
    assert found == client.explain(asked)


def _end(name: str) -> Any:
    return {"name": name}


def test_the_command_line_tells_it(agent: Running, client: Client, tmp_path: Path) -> None:
    """`history` lists the changes with signs, `show` has the diff, `show --state` is a file that can be applied."""
    file = tmp_path / "web.yaml"
    file.write_text(WEB)
    assert "goes back at" in run(agent, "apply", "--confirm", "1h", "-m", "more room", str(file)).output
    assert 0 == run(agent, "confirm").exit_code
    assert 4 == run(agent, "confirm").exit_code
    file.write_text(WIDER)
    revision = client.apply_policies([(str(file), WIDER)])["revision"]
    lines = run(agent, "history").output.splitlines()
    assert "more room" in lines[1]
    assert f"+{WEB_UID}" in lines[1]
    assert f"~{WEB_UID}" in lines[-1]
    assert lines[-1].split() == run(agent, "history", "--last", "1").output.splitlines()[1].split()
    told = run(agent, "show", str(revision)).output
    assert f"changed  {WEB_UID}" in told
    changed = [line for line in told.splitlines() if line[:1] in "+-" and '"80' in line]
    assert ["-", "+"] == [line[0] for line in changed]
    state = run(agent, "show", str(revision), "--state").output
    assert client.apply_policies([("state.yaml", state)])["applied"] == [WEB_UID]
    assert 4 == run(agent, "show", "99").exit_code
    assert 0 == run(agent, "rollback", "0").exit_code
    assert [] == client.policies()
