"""The library as docs/python.md tells it, and the definitions for pre-commit and workflows, run as they are written."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import ringfence
from ringfence import library

ROOT = Path(__file__).parents[3]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
EXAMPLE = ROOT / "examples" / "backend-access.yaml"


def test_the_examples_of_the_documentation_hold() -> None:
    """Every block of Python in docs/python.md runs, one after the other as a reader would."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)  # noqa: S102 - our own documentation


def test_the_package_has_the_librarys_names_and_no_others() -> None:
    """What is typed in the stub, what is listed, and what the library has are one set of names."""
    stub = set(re.findall(r" as (\w+)$", (ROOT / "src/ringfence/__init__.pyi").read_text(), re.MULTILINE))
    assert stub == set(library.__all__)
    assert set(ringfence.__all__) == stub | {"__version__"}
    assert all(getattr(ringfence, name) is getattr(library, name) for name in stub)
    with pytest.raises(AttributeError, match="nothing"):
        getattr(ringfence, "nothing")  # noqa: B009 - the type checker knows that it is not there


def test_a_file_answers_as_the_commands_do() -> None:
    """The example's verdicts, its cases and its proof."""
    policies = ringfence.load(EXAMPLE)
    assert policies.allows("default/frontend", "default/backend", "8080/TCP")
    assert not policies.allows("default/stranger", "default/backend", "8080/TCP")
    for judge in ("map", "oracle"):
        report = policies.test(judge)
        assert report.cases
        assert not report.failed
    assert policies.verify().equal


def test_what_cannot_be_answered_is_one_clear_error(tmp_path: Path) -> None:
    """Ports, ends, judges and files that are none."""
    policies = ringfence.load(EXAMPLE)
    for port in ("8080", "99999/TCP", "any/TCP"):
        with pytest.raises(ringfence.BadInput, match="port"):
            policies.allows("default/frontend", "default/backend", port)
    with pytest.raises(ringfence.NotFound, match="nobody"):
        policies.allows("default/nobody", "default/backend", "80/TCP")
    with pytest.raises(ringfence.BadInput, match="expected oracle or map"):
        policies.test("coin")
    with pytest.raises(ringfence.BadInput, match="a readable UTF-8 file"):
        ringfence.learn(tmp_path / "missing.json")
    with pytest.raises(ringfence.BadInput, match="<flows>:1:1: no JSON"):
        ringfence.learn(["{"])


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A search path on which `ringfence` is this one."""
    script = tmp_path / "bin" / "ringfence"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT / "src"} exec {sys.executable} -m ringfence.cli "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return f"{script.parent}:{os.environ['PATH']}"


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_the_hooks_run_as_they_are_written(hook: dict[str, Any], path: str, tmp_path: Path) -> None:
    """The entry with `args` behind it, as pre-commit calls it: 0 for the example, another for a file with a fault.

    Files that were changed are not handed over, for a case without its policies means something else.
    """
    assert hook["pass_filenames"] is False
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: NetworkPolicy\n")
    for file, passes in ((EXAMPLE, True), (bad, False)):
        command = [*hook["entry"].split(), str(file)]
        result = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)
        assert (result.returncode == 0) is passes, result.stdout + result.stderr


def act(path: str, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The action's last step with inputs, those that are not given as the action says."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    step = action["runs"]["steps"][-1]
    given = {name: inputs.get(name, each.get("default", "")) for name, each in action["inputs"].items()}
    values = {name: given[re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", text)[1]] for name, text in step["env"].items()}  # type: ignore[index]
    command = ["bash", "-e", "-c", step["run"]]
    return subprocess.run(command, env={"PATH": path, **values}, capture_output=True, text=True, check=False)


def test_the_action_checks_and_tests(path: str, tmp_path: Path) -> None:
    """Its script gives the command's exit code and, of `check`, annotations."""
    assert act(path, command="test", paths=str(EXAMPLE)).returncode == 0
    checked = act(path, paths=f"{EXAMPLE}")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (tmp_path / "bad.yaml").write_text("kind: NetworkPolicy\n")
    bad = act(path, paths=str(tmp_path / "bad.yaml"))
    assert bad.returncode == 2
    assert bad.stdout.startswith("::error file=")
    assert act(path, command="destroy", paths=str(EXAMPLE)).returncode == 2


@pytest.mark.parametrize(("strict", "code"), [("false", 0), ("true", 5)])
def test_the_action_compares(path: str, tmp_path: Path, strict: str, code: int) -> None:
    """What opens is an annotation, and fails the step where that is wanted; bad input always does."""
    documents = EXAMPLE.read_text().split("\n---\n")
    kept = [each for each in documents if "kind: CiliumNetworkPolicy" not in each]
    (tmp_path / "none.yaml").write_text("\n---\n".join(kept))
    opened = act(path, command="diff", paths=f"{EXAMPLE} {tmp_path}/none.yaml", strict=strict)
    assert opened.returncode == code, opened.stdout + opened.stderr
    assert "::warning::opens " in opened.stdout
    assert act(path, command="diff", paths=f"{EXAMPLE} {tmp_path}/absent.yaml", strict=strict).returncode == 2


def test_the_actions_inputs_are_never_commands(path: str, tmp_path: Path) -> None:
    """An input with a command in it is a path that is not there."""
    made = tmp_path / "made"
    assert act(path, paths=f"x; touch {made}").returncode == 2
    assert act(path, paths=f"$(touch {made})").returncode == 2
    assert act(path, command=f"check; touch {made}", paths=str(EXAMPLE)).returncode == 2
    assert not made.exists()
