"""`ringfence observe`: what a command line asks for, and how flows are written."""

from __future__ import annotations

import json

import pytest

from ringfence.cli.observe_filters import FILTERS
from ringfence.flow.filter import FIELDS, FlowFilter
from ringfence.flow.query import FlowQuery
from ringfence.flow.request import FlowRequest
from tests.unit.cli.conftest import Answers, Run
from tests.unit.cli.observed import OBSERVED

Fields = dict[str, list[object]]


def asked(run: Run, answers: Answers, *arguments: str) -> FlowRequest:
    """What the agent was asked for by a command line."""
    result = run("observe", *arguments)
    assert (0, "flows", "hubble") == (result.exit_code, answers.changes[-1][0], answers.changes[-1][1][1]), (
        result.output
    )
    request: FlowRequest = answers.changes[-1][1][0]
    return request


@pytest.mark.parametrize(
    ("arguments", "allow", "deny"),
    [
        ("", [], []),
        ("--from-ip 10.0.0.1 --from-ip=10.1.0.0/16", [{"source_ip": ["10.0.0.1", "10.1.0.0/16"]}], []),
        ("--to-label app=web --verdict DROPPED", [{"destination_label": ["app=web"], "verdict": ["DROPPED"]}], []),
        ("-t drop -l app=web -n a", [{"event_type": ["drop"], "label": ["app=web"], "namespace": ["a"]}], []),
        ("-6", [{"ip_version": ["v6"]}], []),
        ("-4 --ip-version v6", [{"ip_version": ["v4", "v6"]}], []),
        ("--drop-reason vlan --drop-reason-desc POLICY_DENY", [{"drop_reason_desc": ["VLAN", "POLICY_DENY"]}], []),
        ("--namespace a --pod web --pod b/db", [{"namespace": ["a"], "pod": ["a/web", "b/db"]}], []),
        ("--from-pod web --to-namespace a", [{"source_pod": ["web"], "destination_namespace": ["a"]}], []),
        ("--not --from-ip 10.0.0.1", [], [{"source_ip": ["10.0.0.1"]}]),
        ("--not --protocol udp --port 80", [{"port": ["80"]}], [{"protocol": ["udp"]}]),
        ("--not -4 --not -tdrop -6", [{"ip_version": ["v6"]}], [{"ip_version": ["v4"]}, {"event_type": ["drop"]}]),
        ("--not --protocol tcp --not --protocol=udp", [], [{"protocol": ["tcp"]}, {"protocol": ["udp"]}]),
        ("--rule a.yaml:12 --kind close", [{"rule": ["a.yaml:12"], "kind": ["close"]}], []),
        (
            '--verdict DROPPED --allowlist {"source_port":["80"]} --denylist {"reply":[true]}',
            [{"verdict": ["DROPPED"]}, {"source_port": ["80"]}],
            [{"reply": [True]}],
        ),
    ],
)
def test_filters(run: Run, answers: Answers, arguments: str, allow: list[Fields], deny: list[Fields]) -> None:
    """Options become Hubble's fields; `--not` turns the next one alone into a filter of the denylist."""
    wanted = asked(run, answers, *arguments.split()).wanted
    expected = FlowQuery.from_fields(allow, deny)
    assert {*map(_terms, expected.allow)} == {*map(_terms, wanted.allow)}
    assert {*map(_terms, expected.deny)} == {*map(_terms, wanted.deny)}


def _terms(asked_for: FlowFilter) -> frozenset[object]:
    return frozenset(map(frozenset, asked_for.fields))


def test_every_option_fills_a_field_that_there_is() -> None:
    """And no field that people would ask for is without an option."""
    options = {each.field for each in FILTERS}
    assert options <= set(FIELDS)
    assert {"from", "to", "type", "uuid", "reply"} == set(FIELDS) - options


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ({"last": 20}, ""),
        ({"last": 5}, "--last 5"),
        ({"first": 5}, "--first 5"),
        ({}, "--all"),
        ({}, "--follow"),
        ({"last": 5}, "-f --last 5"),
        ({"since_ns": 0}, "-f --all"),
        ({"since_ns": 1_000_000_000}, "--since 1"),
        ({"until_ns": 2_000_000_000, "last": 3}, "--until 2 --last 3"),
        ({"last": 20}, "--verdict DROPPED"),
    ],
)
def test_bounds(run: Run, answers: Answers, expected: dict[str, int], arguments: str) -> None:
    """Without any bound it is the last 20; who follows sees the past only if it is asked for."""
    found = asked(run, answers, *arguments.split())
    assert expected == {name: value for name, value in found.bounds.items() if value is not None}
    assert found.follow == bool({"-f", "--follow"} & set(arguments.split()))


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("--not reverses the filter after it, and none follows", "--not"),
        ("--not reverses the filter after it, and '--follow' is none", "--not --follow"),
        ("--not reverses the filter after it, and '--not' is none", "--not --not --ip 10.0.0.1"),
        ("a table needs all of its rows", "-f -o table"),
        ("--all excludes --last and --first", "--all --last 3"),
        ("first and last exclude each other", "--first 1 --last 1"),
        ("first and until exclude it", "-f --until 1h"),
        ("'soon' is no time: write 1h", "--since soon"),
        ("no verdict 'DENIED'; there are: FORWARDED", "--verdict DENIED"),
        ("'10.0.0' is no address", "--not --ip 10.0.0"),
        ("a filter that is no JSON: '{'", "--allowlist {"),
        ("from 0 to 1000000 flows", "--last 9999999"),
        ("No such option", "--http-method GET"),
    ],
)
def test_bad_input(run: Run, expected: str, arguments: str) -> None:
    """One clear error and exit code 2, with nothing shown."""
    result = run("observe", *arguments.split())
    assert 2 == result.exit_code
    assert expected in " ".join(result.stderr.split())
    assert "" == result.stdout


WEB = "default/web:8080 (ID:256)"
CLIENT = "default/client:40000 (ID:257)"
BY_WEB = "BY web (cnp) web.yaml:12"
TOTALS = "closed: 5 packets, 300 bytes as opened; 4 packets, 900 bytes back"
COMPACT = [
    f"{CLIENT} -> {WEB} policy-verdict:L3-L4 EGRESS ALLOWED {BY_WEB} (TCP Flags: SYN)",
    f"{CLIENT} -> {WEB} policy-verdict:none INGRESS DENIED {BY_WEB} (TCP Flags: SYN; stands for 3 packets, 180 bytes)",
    f"{WEB} <- {CLIENT} to-endpoint FORWARDED {BY_WEB} (TCP Flags: FIN, ACK; {TOTALS})",
    f"10.0.0.2:40000 (world) <> {WEB} Invalid source ip DROPPED (TCP Flags: SYN)",
    f"{CLIENT} -> {WEB} policy-verdict:L3-L4 EGRESS ALLOWED BY default (UDP)",
]


def test_compact(run: Run) -> None:
    """A line a flow as Hubble writes it, with the rule's place; a reply turned around; losses apart."""
    result = run("observe")
    assert [f"Jan  2 03:04:05.000: {line}" for line in COMPACT] == result.stdout.splitlines()
    assert ["only the newest 5 flows; --since, --until or a filter ask for fewer", "4 flows lost: read too slowly"] == (
        result.stderr.splitlines()
    )


def test_numbers_only(run: Run) -> None:
    """Addresses in place of pods, the node if asked, no policies if not wanted."""
    lines = run("observe", "--numeric", "--no-print-policy-names", "--print-node-name").stdout.splitlines()
    assert lines[4] == (
        "Jan  2 03:04:05.000 [node-1]: [fd00::2]:40000 (ID:257) -> [fd00::1]:8080 (ID:256) "
        "policy-verdict:L3-L4 EGRESS ALLOWED (UDP)"
    )


def test_dict(run: Run) -> None:
    """A line a field, flows parted by a line, and what the rules say in their own words."""
    first, second, *_ = run("observe", "-o", "dict").stdout.split("------------\n")
    assert first.splitlines() == [
        "  TIMESTAMP: Jan  2 03:04:05.000",
        "     SOURCE: default/client:40000",
        "DESTINATION: default/web:8080",
        "       TYPE: policy-verdict:L3-L4 EGRESS",
        "    VERDICT: ALLOWED BY web (cnp) web.yaml:12",
        "    SUMMARY: TCP Flags: SYN",
        "       RULE: allowed by default: no policy isolates it",
        "       RULE: allowed by web (web.yaml:12)",
    ]
    assert "       RULE: no rule allows this; isolated by web (web.yaml:12)" in second.splitlines()


def test_table(run: Run) -> None:
    """Aligned columns under Hubble's headings."""
    heading, *rows = run("observe", "-o", "table").stdout.splitlines()
    assert ["TIMESTAMP", "SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"] == heading.split()
    assert 5 == len(rows)
    verdicts = heading.index("VERDICT")
    assert "DENIED BY web (cnp) web.yaml:12" == rows[1][verdicts : heading.index("SUMMARY")].strip()


@pytest.mark.parametrize("form", ["json", "jsonpb"])
def test_json(run: Run, form: str) -> None:
    """Every flow is a line with Hubble's field names, and so is a loss."""
    found = [json.loads(line) for line in run("observe", "-o", form).stdout.splitlines()]
    assert json.loads(json.dumps(OBSERVED[1:])) == found
