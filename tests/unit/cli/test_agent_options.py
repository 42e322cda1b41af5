from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ringfence.agent.settings import AgentSettings
from ringfence.cli.main import cli


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[AgentSettings]:
    """The settings of agents that would have been started."""
    found: list[AgentSettings] = []
    monkeypatch.setattr("ringfence.agent.main.run", found.append)
    return found


def run(*options: str) -> str:
    done = CliRunner().invoke(cli, ["--instance", "shop", "agent", *options])
    assert 0 == done.exit_code, done.output
    return done.output


def test_flows_are_recorded_by_default(started: list[AgentSettings]) -> None:
    """A week, or a gibibyte, under /var/lib/ringfence."""
    run()
    [settings] = started
    assert (True, Path("/var/lib/ringfence/shop/flows")) == (settings.record_flows, settings.flows_path)
    assert (7 * 86400, 1 << 30) == (settings.flows_limits.max_age_seconds, settings.flows_limits.max_bytes)


def test_flows_are_recorded_as_asked_for(started: list[AgentSettings], tmp_path: Path) -> None:
    """Where, how long and how much are options; so is nothing at all."""
    run("--flows-dir", str(tmp_path), "--flows-max-age", "12h", "--flows-max-size", "512MiB")
    run("--no-flows")
    given, none = started
    assert (tmp_path, 43200, 512 << 20) == (
        given.flows_path, given.flows_limits.max_age_seconds, given.flows_limits.max_bytes,
    )  # fmt: skip
    assert not none.record_flows


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--flows-max-age", "long", "'long' is no age"),
        ("--flows-max-age", "5s", "less than a minute"),
        ("--flows-max-size", "much", "'much' is no size"),
        ("--flows-max-size", "1MiB", "less than 16 MiB"),
    ],
)
def test_limits_that_mean_nothing_are_refused(started: list[AgentSettings], option: str, value: str, told: str) -> None:
    """Exit code 2, and what is expected."""
    done = CliRunner().invoke(cli, ["agent", option, value])
    assert (2, []) == (done.exit_code, started)
    assert told in done.output


def test_the_page_has_a_port_only_if_asked(started: list[AgentSettings]) -> None:
    """Without `--web` no port is open; with it, that one."""
    run()
    run("--web", "[::1]:8479")
    assert [None, ("::1", 8479)] == [settings.web for settings in started]


@pytest.mark.parametrize("address", ["0.0.0.0:8479", "[::]:8479", "192.0.2.1:8479", "8479", "example.org:8479"])
def test_the_page_is_on_loopback_or_nowhere(started: list[AgentSettings], address: str) -> None:
    """An address that other hosts reach is refused before anything is touched."""
    done = CliRunner().invoke(cli, ["agent", "--web", address])
    assert (2, 1, []) == (done.exit_code, len(done.output.splitlines()), started)
    assert "expected loopback" in done.output or "is not ADDRESS:PORT" in done.output
