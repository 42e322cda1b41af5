from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ringfence.cli.main import COMMANDS, cli


def test_help_imports_only_click() -> None:
    """`ringfence --help` is fast: nothing but click and the standard library is imported for it."""
    program = (
        "import sys\nfrom ringfence.cli.main import cli\ncli(['--help'], standalone_mode=False)\n"
        "slow = {'rich', 'httpx', 'yaml', 'pydantic', 'numpy', 'pyroute2', 'fastapi'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_tells_the_exit_codes() -> None:
    """The exit codes are documented where people look for them."""
    shown = CliRunner().invoke(cli, ["--help"]).stdout
    told = shown.partition("Exit codes:")[2].splitlines()
    assert [line.split()[0] for line in told if line.strip()] == ["0", "1", "2", "3", "4"]


def _all_commands() -> list[list[str]]:
    found: list[list[str]] = []
    waiting: list[tuple[list[str], click.Command]] = [([], cli)]
    while waiting:
        path, command = waiting.pop()
        found.append(path)
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                waiting.append(([*path, name], below))
    return found


@pytest.mark.parametrize("path", _all_commands(), ids=" ".join)
def test_every_command_has_help(path: list[str]) -> None:
    """Every command says in a sentence what it does."""
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    assert result.stdout.split("\n\n")[1].strip()


def test_the_list_of_commands_is_complete() -> None:
    """A command that is listed can be imported."""
    context = click.Context(cli)
    assert all(cli.get_command(context, name) for name in COMMANDS)
    assert cli.get_command(context, "unheard-of") is None


def test_no_agent_is_exit_code_3(tmp_path: Path) -> None:
    """Without an agent a command says which socket is silent and how to start one."""
    result = CliRunner().invoke(cli, ["--socket", str(tmp_path / "s"), "status"])
    assert result.exit_code == 3
    assert str(tmp_path / "s") in result.stderr
    assert "ringfence agent" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_no_traceback_reaches_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody expected is one line that says how to see more; RINGFENCE_DEBUG=1 shows it whole."""

    @cli.command("broken")
    def broken() -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr(cli, "get_command", lambda *_: broken)
    result = CliRunner().invoke(cli, ["broken"])
    assert result.exit_code == 1
    assert result.stderr == "internal error: ValueError: two lines (RINGFENCE_DEBUG=1 shows where)\n"
    monkeypatch.setenv("RINGFENCE_DEBUG", "1")
    assert isinstance(CliRunner().invoke(cli, ["broken"]).exception, ValueError)


def test_usage_errors_are_exit_code_2() -> None:
    """A command line that means nothing is bad input."""
    assert CliRunner().invoke(cli, ["endpoint", "add"]).exit_code == 2
    assert CliRunner().invoke(cli, ["nonsense"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--map-size", "policy"], 2, "'policy' is not NAME=N"),
        (["--map-size", "rules=5"], 2, "the size of map 'rules' is fixed"),
        (["--workload-prefix", "10.0.0.1/8"], 2, "10.0.0.1/8 has host bits set"),
        (["--ct-timeout-any", "0"], 2, "0 is not in the range"),
    ],
)
def test_options_of_the_agent_that_cannot_be(arguments: list[str], code: int, told: str) -> None:
    """A size, prefix or time that cannot be had is refused in one line, before anything is touched."""
    result = CliRunner().invoke(cli, ["--instance", "rf-none", "agent", *arguments])
    assert (result.exit_code, told in result.stderr) == (code, True)
