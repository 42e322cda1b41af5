"""What the README tells to type that needs neither root nor an agent."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from ringfence.cli.main import cli

ROOT = Path(__file__).parents[3]
COMMANDS = [
    line.strip()
    for line in (ROOT / "README.md").read_text("utf-8").splitlines()
    if line.strip().startswith("ringfence ") and "examples/" in line and " lab " not in line
]


def test_there_are_some() -> None:
    """The README shows how to test, prove, check and explain the examples."""
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[1:3]))
def test_a_command_of_the_readme_works(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed in a clone as it stands there, it does what it says, on all the examples together too."""
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(cli, shlex.split(command, comments=True)[1:])
    assert done.exit_code == 0, done.output
