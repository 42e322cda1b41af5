"""`ringfence policy learn` of an agent's flows: real packets of a lab, learned of and watched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest
from click.testing import CliRunner

from ringfence.cli.main import cli
from ringfence.lab import laboratory

ROOT = Path(__file__).parents[2]
INSTANCE = f"k{os.getpid()}-learn"  # of this run alone
EXAMPLE = ROOT / "examples" / "backend-access.yaml"


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    laboratory.down(INSTANCE)
    run("lab", "up", str(EXAMPLE))
    yield
    laboratory.down(INSTANCE)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["--instance", INSTANCE, *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def knock(source: str, port: str) -> None:
    run("lab", "probe", "--from", source, "--to", "default/backend", "--port", port)


def test_what_an_agent_saw_is_learned() -> None:
    """Of the flows since a time: a rule for the connection that was let through, none for its replies, none for the one
    that was denied.
    """
    knock("default/frontend", "8080/TCP")
    knock("default/stranger", "8080/TCP")
    told = json.loads(run("policy", "learn", "--since", "1h", "-o", "json"))
    reasons = {each["connection"] for rule in told["rules"] for each in rule["needed_by"]}
    assert reasons == {"default/frontend -> default/backend 8080/TCP"}
    assert told["proof"]["sufficient"]
    assert told["proof"]["minimal"]
    assert told["passed_over"]["denied by policy"]
    assert told["passed_over"]["reply"]


def test_recordings_teach_what_the_agent_does(tmp_path: Path) -> None:
    """What `flows export` and `observe` write of the flows gives the same policies."""
    knock("default/frontend", "8080/TCP")
    exported, observed = tmp_path / "exported.json", tmp_path / "observed.json"
    run("flows", "export", str(exported))
    observed.write_text(run("observe", "--all", "-o", "json"))
    live = json.loads(run("policy", "learn", "--since", "1h", "-o", "json"))["policies"]
    assert live
    for recording in (exported, observed):
        told = json.loads(run("policy", "learn", "--flows", str(recording), "-o", "json"))
        assert told["policies"] == live


def test_watching_reports_what_the_policies_do_not_cover() -> None:
    """A connection that the policies deny is reported as it comes, once; then Ctrl-C gives exit code 1."""
    arguments = ["policy", "learn", "--current", "--watch", "--include-denied", "-o", "json", str(EXAMPLE)]
    command = [sys.executable, "-m", "ringfence.cli", "--instance", INSTANCE, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        limit = Timer(60, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert "watching" in process.stderr.readline()
            knock("default/frontend", "8080/TCP")
            knock("default/stranger", "80/TCP")
            told = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait() == 1
        finally:
            limit.cancel()
            process.kill()
    assert (told["from"], told["to"], told["port"]) == ("default/stranger", "default/backend", "80/TCP")
    assert told["direction"] == "ingress"
    assert rest == ""
