"""`ringfence web`: the page on a port of the command's own, read through the agent's socket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from ringfence.agent.listening import listen
from ringfence.api.client import Client
from tests.unit.api.running import Running
from tests.unit.engine.script import WEB
from tests.unit.flow.batch import event

SOURCE = Path(__file__).resolve().parents[3] / "src"
UID = "CiliumNetworkPolicy/default/web"


def command(socket: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "ringfence.cli", "--socket", str(socket), "web", *more]


@contextmanager
def bridge(socket: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command while it runs, and the address that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command(socket, "--port", "0"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0], process
        finally:
            process.send_signal(signal.SIGINT)


def test_the_page_is_there_while_the_command_runs(agent: Running) -> None:
    """It prints an address, where the page and what the page reads are; Ctrl-C ends it without a complaint."""
    with Client(str(agent.socket)) as client:
        client.apply_policies([("web.yaml", WEB)])
        with bridge(agent.socket) as (url, process), httpx.Client(base_url=url) as port:
            assert "<title>Ringfence</title>" in port.get("/").text
            assert client.policy(UID) == port.get(f"/v1/policies/{UID.replace('/', '%2F')}").json()
            with port.stream("GET", "/v1/digests/stream", params={"seconds": 0.25}) as answer:
                agent.publish(event())
                assert next(line for line in answer.iter_lines() if '"events":1' in line)
        assert process.stderr is not None
    assert 0 == process.returncode


def test_it_only_reads(agent: Running) -> None:
    """Nothing can be changed through it, nothing else be read, and no other name leads to it."""
    with bridge(agent.socket) as (url, _), httpx.Client(base_url=url) as port:
        assert 405 == port.request("DELETE", "/v1/policies", json={"uids": []}).status_code
        for path in ("/v1/bpf/ct", "/v1/events", "/v1/verify", "/docs", "/metrics"):
            assert 404 == port.get(path).status_code
        for path in ("/v1/policies/..%2Fbpf%2Fmaps", "/v1/policies/%2e%2e%2fbpf%2fmaps", "/v1/policies/.."):
            assert 404 == port.get(path).status_code
        assert 421 == port.get("/", headers={"Host": "evil.example"}).status_code


def test_an_agent_that_ends_is_told(agent: Running) -> None:
    """When the agent ends the stream ends, and what is asked then says that nobody answers."""
    with bridge(agent.socket) as (url, _), httpx.Client(base_url=url) as port:
        with port.stream("GET", "/v1/digests/stream") as answer:
            lines = answer.iter_lines()
            # The stream is under way once it has told something: an agent that ends before that has nothing to tell.
            assert any(line.startswith("data:") for line in lines)
            agent.stop()
            assert not any(line.startswith("{") for line in lines)
        gone = port.get("/v1/status")
        assert 503 == gone.status_code
        assert f"no agent answers at {agent.socket}" in gone.json()["error"]
        assert "<title>Ringfence</title>" in port.get("/").text


def test_without_an_agent_it_does_not_start(tmp_path: Path) -> None:
    """Where no agent runs it says so at once, with the exit code for that."""
    done = subprocess.run(command(tmp_path / "none.sock"), capture_output=True, text=True, check=False)
    assert (3, "") == (done.returncode, done.stdout)
    assert "no agent answers" in done.stderr


def test_a_port_that_is_taken_is_told(agent: Running) -> None:
    """Where somebody else has the port it says so in one line."""
    with listen(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(command(agent.socket, "--port", port), capture_output=True, text=True, check=False)
    assert 3 == done.returncode
    assert [f"cannot listen on 127.0.0.1 port {port}: Address already in use"] == done.stderr.splitlines()
