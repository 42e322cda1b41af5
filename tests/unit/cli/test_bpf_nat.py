"""`ringfence bpf nat`: what people see of source translation, and which flows they mean."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli

Run = Callable[..., Result]


@pytest.fixture
def run(agent_socket: str) -> Run:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["--socket", agent_socket, "bpf", "nat", *arguments])

    return call


def test_flows_are_listed_by_what_the_endpoint_sends(run: Run) -> None:
    """The host's own, which only keep their ports, are left out unless asked for."""
    rows = [line.split() for line in run("list").output.splitlines()]
    assert rows[1:] == [
        ["TCP", "10.0.0.2:40000", "203.0.113.9:443", "198.51.100.1:40000"],
        ["ICMPv6", "[fd00::2]:7", "[2001:db8::9]:*", "[2001:db8::1]:7"],
    ]
    assert len(run("list", "--own").output.splitlines()) == 4
    assert [each["own"] for each in json.loads(run("list", "--own", "-o", "json").stdout)] == [False, False, True]


@pytest.mark.parametrize(
    ("terms", "count"),
    [([], 3), (["--address", "10.0.0.0/8"], 1), (["--address", "2001:db8::1"], 1), (["--protocol", "tcp"], 2)],
)
def test_those_that_are_meant_are_forgotten(run: Run, terms: list[str], count: int) -> None:
    """By any of the addresses, and by protocol."""
    assert run("flush", *terms).output == f"{count} flows forgotten\n"


def test_what_is_no_prefix_is_refused(run: Run) -> None:
    """One clear line."""
    wrong = run("flush", "--address", "web")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("'web' is no address and no prefix")
