"""`ringfence observe` over a lab: real packets, past and live, and the rule that denied them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from click.testing import CliRunner

from ringfence.cli.main import cli
from ringfence.lab import laboratory

ROOT = Path(__file__).parents[2]
INSTANCE = f"k{os.getpid()}-observe"  # of this run alone
EXAMPLE = ROOT / "examples" / "backend-access.yaml"
#: Where the rule stands that isolates the backend: whatever it does not allow is denied by it.
ISOLATING = next(
    number for number, line in enumerate(EXAMPLE.read_text().splitlines(), 1) if line.strip() == "- fromEndpoints:"
)
DENIED = ("--verdict", "DROPPED", "--from-pod", "default/stranger", "--to-pod", "default/backend", "--to-port", "80")


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    laboratory.down(INSTANCE)
    run("lab", "up", str(EXAMPLE))
    yield
    laboratory.down(INSTANCE)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["--instance", INSTANCE, *arguments])
    assert 0 == result.exit_code, result.output
    return result.stdout


def knock(source: str = "default/stranger", port: str = "80/TCP") -> None:
    """Try to reach the backend."""
    run("lab", "probe", "--from", source, "--to", "default/backend", "--port", port)


@contextmanager
def observing(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """An `observe` in a process of its own; it is killed if it keeps its reader waiting."""
    command = [sys.executable, "-m", "ringfence.cli", "--instance", INSTANCE, "observe", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, **pipes) as process:
        limit = Timer(60, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()


def flow(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next flow that it prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "it ended, or printed nothing in time"
    found: dict[str, Any] = json.loads(line)["flow"]
    return found


def test_a_denied_flow_is_told_with_its_rule_past_and_live() -> None:
    """Who follows with --last sees what was denied before and what is denied now, each by the line that isolates."""
    knock()
    with observing("--follow", "--last", "1", *DENIED, "-o", "json") as process:
        past = flow(process)
        knock()
        live = flow(process)
        process.send_signal(signal.SIGINT)
        assert ("", 0) == (process.communicate()[1], process.returncode)
    assert past["time"] < live["time"]
    for found in (past, live):
        assert ("POLICY_DENIED", "INGRESS") == (found["drop_reason_desc"], found["traffic_direction"])
        assert 80 == found["l4"]["TCP"]["destination_port"]
        [policy] = found["ingress_denied_by"]
        assert ("backend-access", "CiliumNetworkPolicy") == (policy["name"], policy["kind"])
        assert [f"ringfence.io/origin={EXAMPLE}:{ISOLATING}"] == policy["labels"]


def test_past_flows_are_filtered() -> None:
    """What the filters mean is shown and nothing else, whichever way it is asked for."""
    knock()
    knock("default/frontend", "8080/TCP")
    denied = run("observe", *DENIED).splitlines()
    assert denied
    assert all(f"DENIED BY backend-access (CiliumNetworkPolicy) {EXAMPLE}:{ISOLATING}" in line for line in denied)
    assert denied == run("observe", "--rule", f"{EXAMPLE}:{ISOLATING}", "--not", "--verdict", "FORWARDED",
                         "--from-label", "app=stranger", "--port", "80").splitlines()  # fmt: skip
    allowed = run("observe", "--from-pod", "frontend", "--type", "policy-verdict", "--verdict", "FORWARDED")
    assert "default/backend:8080" in allowed
    assert "ALLOWED BY backend-access" in allowed
    assert "stranger" not in run("observe", "--all", "--not", "--pod", "default/stranger")
    assert "" == run("observe", "--last", "5", *DENIED, "--not", "--rule", "backend-access")


def test_a_reader_that_goes_away_ends_it_silently() -> None:
    """`observe --follow | head -1` says nothing about the pipe that broke."""
    knock()
    with observing("--follow", "--last", "1", *DENIED, "-o", "json") as process:
        flow(process)
        assert process.stdout is not None
        process.stdout.close()
        knock()
        assert process.stderr is not None
        assert ("", 0) == (process.stderr.read(), process.wait())
