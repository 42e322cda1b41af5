from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ringfence.cli import main
from ringfence.cli.main import cli
from tests.unit.cli.conftest import Run


def test_without_a_terminal_it_names_what_programs_use() -> None:
    """A pipe is no place to draw on: exit code 3 and one line."""
    result = CliRunner().invoke(cli, ["top"])
    assert (3, 1) == (result.exit_code, len(result.stderr.splitlines()))
    assert "ringfence monitor -o json" in result.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["--port", "99999/TCP"], ["colour:red"]], ids=str)
def test_a_filter_that_means_nothing_is_bad_input(run: Run, arguments: list[str]) -> None:
    """It is told before the screen is taken: exit code 2 and one line."""
    result = run("top", *arguments)
    assert (2, 1) == (result.exit_code, len(result.stderr.splitlines())), result.output


def test_without_an_agent_no_screen_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there is exit code 3, with how to start an agent."""
    monkeypatch.setattr("ringfence.cli.top.is_terminal", lambda: True)
    result = CliRunner().invoke(cli, ["--socket", str(tmp_path / "none"), "top"])
    assert 3 == result.exit_code
    assert "ringfence agent" in result.stderr


def test_options_are_terms(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `monitor` takes as options is asked for as if it stood in the filter line."""
    opened: list[str] = []
    monkeypatch.setattr("ringfence.cli.top.is_terminal", lambda: True)
    monkeypatch.setattr("ringfence.tui.app.run", lambda options: opened.append(options.asked.line))
    result = run("top", "--from", "app in (a, b)", "--type", "drop", "--not", "rule:web.yaml", "to:shop/web")
    assert (0, ["to:shop/web 'from:app in (a, b)' type:drop -rule:web.yaml"]) == (result.exit_code, opened), (
        result.output
    )


@pytest.mark.parametrize(("module", "extra"), [("textual", "top"), ("duckdb", "flows"), ("uvicorn", "agent")])
def test_what_is_missing_names_the_extra_that_brings_it(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each module comes with an extra of its own: the line says which."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError) as missing:
        __import__(module)
    assert 3 == main._tell(missing.value)
    assert f"pip install 'ringfence[{extra}]'" in capsys.readouterr().err
