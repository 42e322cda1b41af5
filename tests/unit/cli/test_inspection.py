from __future__ import annotations

from ringfence.flow.connections import ConnectionFilter
from tests.unit.cli.conftest import Answers, Run


def test_only_the_connections_that_are_meant_are_forgotten(run: Run, answers: Answers) -> None:
    """`bpf ct flush` forgets what its terms mean, and says how many those were."""
    result = run("bpf", "ct", "flush", "--from", "app=web", "--port", "80/TCP", "--state", "closing")
    assert result.stdout == "1 connections forgotten\n"
    wanted = ConnectionFilter.parse(["app=web"], (), "80/TCP", states=["closing"])
    assert answers.changes == [("flush", wanted)]


def test_a_connection_is_written_as_in_cilium(run: Run) -> None:
    """`bpf ct list -o cilium` has the line of `cilium-dbg bpf ct list`, with both directions' packets together."""
    (line,) = run("bpf", "ct", "list", "-o", "cilium").stdout.splitlines()
    assert line.startswith("TCP OUT [fd00::2]:40000 -> [fd00::1]:8080 expires=")
    assert "(remaining: 58 sec(s)) Packets=5 Bytes=300 RxFlagsSeen=0x12 " in line
    assert " TxFlagsSeen=0x1a " in line
    assert line.endswith("Flags=0x0000 [ ] RevNAT=0 SourceSecurityID=12345 BackendID=0 NatPort=0")


def test_a_term_that_means_nothing_is_refused(run: Run) -> None:
    """A state that connections do not have is bad input, and the answer says which they have."""
    result = run("bpf", "ct", "flush", "--state", "established")
    assert result.exit_code == 2
    assert "opening, replied, closing" in result.stderr


def test_an_element_is_written_in_the_words_of_a_dump(run: Run, answers: Answers) -> None:
    """Keys and values are numbers, texts, `field=value` words or JSON; a warning says what becomes of it."""
    result = run("bpf", "map", "set", "endpoints", "3", "delivery=stack ifindex=7")
    assert answers.changes == [("write", ("endpoints", {"key": 3, "value": {"delivery": "stack", "ifindex": 7}}))]
    assert "drift" in result.stderr
    run("bpf", "map", "delete", "ipcache", "192.0.2.0/24")
    assert answers.changes[-1] == ("delete", ("ipcache", {"key": "192.0.2.0/24"}))
    assert run("bpf", "map", "set", "policy", '{"subject": 1}', "a=1 b").exit_code == 2


def test_a_change_says_when_what_and_why(run: Run, answers: Answers) -> None:
    """`bpf map events` tells each change in a line: when, key, value, revision and what led to it."""
    (line,) = run("bpf", "map", "events", "policy", "--follow").stdout.splitlines()
    assert answers.changes == [("map changes", ("policy", True))]
    assert line == (
        '2026-01-02T03:04:05.000006Z set key="normal ingress of 67890 from 12345, 8080/TCP" '
        'value="allowed by backend-access, access.yaml:10" revision=8 '
        'because="applied: CiliumNetworkPolicy/default/backend-access"'
    )
