from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ringfence.cli.monitor import line
from tests.unit.cli.conftest import RULE, Answers, Run, flow


def lines(result: Result) -> list[list[str]]:
    return [line.split() for line in result.stdout.splitlines() if line]


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "endpoint list",
        "endpoint get backend",
        "endpoint config backend",
        "config",
        "identity list",
        "identity get 67890",
        "policy list",
        "policy get CiliumNetworkPolicy/default/backend-access",
        "bpf policy list",
        "bpf policy get 67890",
        "bpf ipcache list",
        "bpf ipcache get 10.0.0.1",
        "bpf ct list",
        "bpf ct flush",
        "bpf ct flush --state closing",
        "bpf endpoint list",
        "bpf metrics list",
        "bpf map events policy",
        "bpf map set policy 1 2",
        "bpf map delete policy 1",
        "bpf map list",
        "bpf map dump policy",
        "bpf map_entries policy",
    ],
)
def test_every_listing_has_a_table_and_json(run: Run, command: str) -> None:
    """Whatever is listed for people can be had as JSON too."""
    table = run(*command.split())
    assert table.exit_code == 0
    assert table.stdout
    document(run(*command.split(), "-o", "json"))


def test_policy_entries_have_the_columns_of_the_article(run: Run) -> None:
    """A policy entry shows who is protected from whom, at which port, with what action, and by which rule."""
    rows = lines(run("bpf", "policy", "list"))
    columns = ["DIRECTION", "SUBJECT", "PEER", "PORT", "PROTO", "ACTION", "PRECEDENCE", "PACKETS", "BYTES", "RULE"]
    assert rows[0] == columns
    assert rows[1][:2] == ["ingress", "67890"]
    assert rows[1][2] == "(k8s:app=backend,k8s:io.kubernetes.pod.namespace=default)"
    assert rows[1][5:11] == ["8080", "TCP", "allow", "2", "5", "300"]
    assert "access.yaml:10" in " ".join(rows[1][11:])


def test_policy_entries_show_blocks_of_ports_and_wildcards(run: Run) -> None:
    """A block of ports is shown as its range and what is not looked at as ANY."""
    rows = lines(run("bpf", "policy", "list", "-n"))
    assert rows[2][:5] == ["ingress", "67890", "12345", "8000-8015", "6"]
    assert rows[3][:6] == ["ingress", "67890", "ANY", "ANY", "ANY", "deny"]


def test_policy_entries_as_tuples(run: Run) -> None:
    """`-o tuple` prints `[subject, peer, port, protocol] -> action`."""
    assert run("bpf", "policy", "list", "-o", "tuple").stdout.splitlines()[0] == "[67890, 12345, 8080, 6] -> allow"


def test_numbers_only_leaves_out_labels(run: Run) -> None:
    """With `-n` no label is printed."""
    for command in ("bpf policy list", "bpf ipcache list", "bpf ct list", "bpf map dump policy"):
        assert "k8s:" in run(*command.split()).stdout
        assert "k8s:" not in run(*command.split(), "-n").stdout


def test_policy_get_finds_exactly_what_is_asked(run: Run) -> None:
    """An entry is found by subject, peer and traffic; one that is not there is exit code 4."""
    assert len(document(run("bpf", "policy", "get", "67890", "12345", "8080/TCP", "-o", "json"))) == 1
    assert len(document(run("bpf", "policy", "get", "67890", "any", "any", "-o", "json"))) == 1
    missing = run("bpf", "policy", "get", "67890", "12345", "81/TCP")
    assert missing.exit_code == 4
    assert "67890 12345 81/TCP" in missing.stderr


def test_setting_an_entry_sends_its_key(run: Run, answers: Answers) -> None:
    """An entry set by hand travels as subject, peer, traffic, direction and tier."""
    assert run("bpf", "policy", "set", "67890", "12345", "8080/TCP", "deny").exit_code == 0
    assert run("bpf", "policy", "delete", "67890", "class:16777217", "any", "--direction", "egress").exit_code == 0
    assert answers.changes == [
        (
            "set",
            {
                "direction": "ingress",
                "subject": 67890,
                "peer": 12345,
                "peer_kind": "identity",
                "tier": "normal",
                "protocol": 6,
                "port": 8080,
                "action": "deny",
            },
        ),
        (
            "unset",
            {
                "direction": "egress",
                "subject": 67890,
                "peer": 16777217,
                "peer_kind": "prefix_class",
                "tier": "normal",
            },
        ),
    ]


@pytest.mark.parametrize(("peer", "traffic"), [("someone", "any"), ("1", "8080"), ("1", "99999/TCP")])
def test_bad_entries_are_refused_before_the_agent(run: Run, answers: Answers, peer: str, traffic: str) -> None:
    """A peer or traffic that means nothing is exit code 2 with one line, and nothing is sent."""
    result = run("bpf", "policy", "set", "67890", peer, traffic, "deny")
    assert (result.exit_code, len(result.stderr.splitlines()), answers.changes) == (2, 1, [])


def test_adding_an_endpoint_sends_its_labels(run: Run, answers: Answers) -> None:
    """`endpoint add` names the namespace, the interface and every label."""
    arguments = ["--netns", "rf-b", "--label", "app=web", "--label", "env=dev", "--namespace", "shop"]
    result = run("endpoint", "add", "web", *arguments)
    assert "identity 67890" in result.stdout
    [(name, request)] = answers.changes
    assert name == "web"
    assert request["netns"] == "rf-b"
    assert request["interface"] == "eth0"
    assert request["labels"] == ["app=web", "env=dev"]
    assert request["namespace"] == "shop"


def test_settings_are_sent_by_name(run: Run, answers: Answers) -> None:
    """`config` and `endpoint config` send the settings that are named, and show what comes of it."""
    assert "aggregation:" in run("config", "aggregation=off", "denial-limit=5").stdout
    assert "aggregation_in_force:" in run("endpoint", "config", "backend", "aggregation=host").stdout
    assert [
        ("host", {"aggregation": "off", "denial_limit": 5}),
        ("backend", {"aggregation": "host"}),
    ] == answers.changes


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("aggregation", "expected NAME=VALUE, with one of aggregation, denial-limit"),
        ("size=3", "expected NAME=VALUE, with one of aggregation, denial-limit"),
        ("aggregation=all", "expected one of packets, connections, verdicts, off"),
        ("aggregation=host", "expected one of packets, connections, verdicts, off"),
        ("denial-limit=-1", "expected a number"),
    ],
)
def test_a_bad_setting_is_one_line(run: Run, answers: Answers, setting: str, expected: str) -> None:
    """What is no setting, or no value of it, is refused before anybody is asked."""
    result = run("config", setting)
    assert (2, []) == (result.exit_code, answers.changes)
    assert expected in result.stderr


def test_applying_sends_texts_under_their_names(run: Run, answers: Answers, tmp_path: Path) -> None:
    """Files are read where the command is typed, directories in the order of their names, `-` from standard input."""
    (tmp_path / "d").mkdir()
    for name in ("b.yaml", "a.yml", "note.txt"):
        (tmp_path / "d" / name).write_text(name)
    result = run("policy", "apply", str(tmp_path / "d"), "-", text="typed")
    assert result.exit_code == 0
    [(_, request)] = answers.changes
    d = tmp_path / "d"
    assert [(source["name"], source["text"]) for source in request["sources"]] == [
        (f"{d}/a.yml", "a.yml"),
        (f"{d}/b.yaml", "b.yaml"),
        ("<stdin>", "typed"),
    ]


def test_applying_tells_revision_and_warnings(run: Run) -> None:
    """What was applied is on standard output, warnings with their place are on standard error."""
    result = run("policy", "apply", "-", text="good")
    assert f"{RULE['policy']} applied" in result.stdout
    assert "revision 8" in result.stdout
    assert result.stderr == "a.yaml:1:13: warning: cilium.io/v1alpha1; expected cilium.io/v2\n"


def test_bad_input_is_one_line_a_problem(run: Run, answers: Answers) -> None:
    """All problems are told at once, one line each with file:line:column; the exit code is 2, nothing is applied."""
    result = run("policy", "apply", "-", text="bad\ngood\nbad\n")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "<stdin>:1:1: the word 'bad'; expected another",
        "<stdin>:3:1: the word 'bad'; expected another",
    ]
    assert answers.changes == []


def test_unreadable_files_are_told_all_at_once(run: Run, tmp_path: Path) -> None:
    """A missing file, one that is no text and an empty directory are three lines and exit code 2."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    result = run("policy", "apply", *(str(tmp_path / name) for name in ("missing", "binary", "empty")))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 3


def test_deleting_policies_is_one_request(run: Run, answers: Answers) -> None:
    """All policies named are taken out in one request, so in one commit."""
    assert "revision 9" in run("policy", "delete", "a/b/c", "d/e/f").stdout
    assert answers.changes == [("delete", ["a/b/c", "d/e/f"])]


def test_monitor_prints_one_line_an_event(run: Run) -> None:
    """Each verdict is one line with identities, labels, addresses, port, direction, reason and rule; losses too."""
    allowed, denied, lost = run("monitor").stdout.splitlines()
    assert allowed == (
        "2026-01-02T03:04:05.000006Z ALLOW "
        "10.0.0.2:40000 12345 (k8s:app=frontend,k8s:io.kubernetes.pod.namespace=default) -> "
        "10.0.0.1:8080 67890 (k8s:app=backend,k8s:io.kubernetes.pod.namespace=default) "
        "8080/TCP ingress forwarded; allowed by backend-access, access.yaml:10"
    )
    assert " DENY " in denied
    assert " policy denied; " in denied
    assert lost == "4 events lost: read too slowly"


def test_monitor_says_what_an_event_stands_for() -> None:
    """A connection's end says its totals, a denial how many were held back; other events are one packet."""
    close, denied = flow("allow"), flow("deny")
    close |= {"kind": "close", "packets": [5, 4], "bytes": [300, 900]}
    assert line(close).endswith("; closed after 5 packets, 300 bytes, and 4 packets, 900 bytes back")
    denied |= {"packets": [8, 0]}
    assert line(denied).endswith("; 7 more like it were held back")
    assert "held back" not in line(flow("deny"))


def test_monitor_as_json_is_the_agents_document(run: Run) -> None:
    """`-o json` prints one document a line, as the agent streams it."""
    documents = [json.loads(line) for line in run("monitor", "-o", "json").stdout.splitlines()]
    assert [d.get("verdict", d.get("lost")) for d in documents] == ["allow", "deny", 4]


def test_status_shows_what_is_wrong(run: Run) -> None:
    """Lost events, missing programs, drops and warnings stand out in the status."""
    shown = run("status").stdout
    for told in (
        "1 at ring",
        "MISSING",
        "filter rules",
        "policy denied",
        "warning: the ring is nearly full",
        "also at backend: tcx program 9",
    ):
        assert told in shown


def test_status_shows_which_packets_are_events(run: Run) -> None:
    """The host's aggregation is shown with the endpoints that have their own."""
    assert "Aggregation: connections; packets for backend" in run("status").stdout


@pytest.mark.parametrize(
    "command", ["endpoint get x", "identity get 1", "policy get x", "bpf map dump x", "bpf ipcache get 1.1.1.1"]
)
def test_what_is_not_there_is_exit_code_4(run: Run, command: str) -> None:
    """Asking for one thing that does not exist is one line on standard error and exit code 4."""
    result = run(*command.split())
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (4, "", 1)


def test_drift_is_told_with_what_was_wanted(run: Run) -> None:
    """`status --verify` names each entry that is not as wanted, with both sides, and exits with 1."""
    result = run("status", "--verify")
    assert result.exit_code == 1
    assert "lost in policy: normal ingress of 67890 (k8s:app=backend) from anyone, 80/TCP" in result.stdout
    assert "wanted: allowed by backend-access, access.yaml:10\n    found:  nothing" in result.stdout
    assert "equal to the policies over 12 classes" in result.stdout
    assert not json.loads(run("status", "--verify", "-o", "json").stdout)["equal"]
