"""The pytest plugin, in repositories of policies that are made for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[3] / "src"
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: front, labels: {app: front}}
---
apiVersion: v1
kind: Pod
metadata: {name: back, labels: {app: back}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: back}
spec:
  podSelector: {matchLabels: {app: back}}
  ingress: [{from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: 80}]}]
"""
CASES = """
apiVersion: ringfence.io/v1
kind: PolicyTest
metadata: {name: cases}
cases:
- {from: default/front, to: default/back, port: 80/TCP, expect: allow}
- {from: default/front, to: default/back, port: 81/TCP, expect: EXPECT}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\nringfence_policies = policies\n")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "pods.yaml").write_text(PODS)
    (tmp_path / "cases.yaml").write_text(CASES.replace("EXPECT", "deny"))
    return tmp_path


def run(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "ringfence.pytest_plugin", "-p", "no:cacheprovider", *arguments]
    # The plugin is named, so that the one of an installed version does not stand in for this one.
    environment = {**os.environ, "PYTHONPATH": str(SRC), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def test_every_case_is_a_test(repository: Path) -> None:
    """Cases are collected by their place and words, and pass."""
    result = run(repository, "-v")
    assert result.returncode == 0, result.stdout
    assert "cases.yaml::6: default/front -> default/back 80/TCP allow PASSED" in result.stdout
    assert "2 passed" in result.stdout


def test_a_case_that_fails_says_why(repository: Path) -> None:
    """The explanation of `policy test` is shown, and no traceback; the other case passes."""
    (repository / "cases.yaml").write_text(CASES.replace("EXPECT", "allow"))
    result = run(repository)
    assert result.returncode == 1
    assert "81/TCP: expected allow, found deny" in result.stdout
    assert "Traceback" not in result.stdout
    assert "pytest_plugin.py" not in result.stdout
    assert "1 failed, 1 passed" in result.stdout


def test_cases_beside_the_policies_are_judged_too(repository: Path) -> None:
    """A file with cases in the directory of policies is not taken for one of them."""
    (repository / "cases.yaml").rename(repository / "policies" / "cases.yaml")
    assert "2 passed" in run(repository).stdout


def test_bad_input_is_an_error_with_its_place(repository: Path) -> None:
    """A file that cannot be read as cases fails the collection, with file and line."""
    (repository / "cases.yaml").write_text(CASES.replace("EXPECT", "perhaps"))
    result = run(repository)
    assert result.returncode == 2
    assert "cases.yaml:7:" in result.stdout
    assert "Traceback" not in result.stdout


def test_the_fixture_has_the_policies(repository: Path) -> None:
    """Tests in Python ask the same policies."""
    (repository / "test_own.py").write_text(
        "def test_it(policies):\n    assert policies.allows('default/front', 'default/back', '80/TCP')\n"
    )
    assert "3 passed" in run(repository).stdout


def test_without_the_option_nothing_is_collected(repository: Path) -> None:
    """Other people's repositories, with YAML of their own, are left alone; the fixture says what it needs."""
    (repository / "pytest.ini").write_text("[pytest]\n")
    (repository / "test_own.py").write_text("def test_it(policies):\n    pass\n")
    result = run(repository)
    assert "the fixture needs the ini option ringfence_policies" in result.stdout
    assert "1 error" in result.stdout
    assert "cases.yaml" not in result.stdout
