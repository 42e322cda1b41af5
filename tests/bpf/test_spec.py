"""Every spec file and example, judged by the real programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.datapath.judge import JudgingKernel, KernelJudge
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.test import run_tests

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "tests" / "spec").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_kernel_judges_as_the_author_says(path: Path, judging: JudgingKernel) -> None:
    """Each case has the verdict, and the deciding policy, that its file states, whatever was judged before."""
    parsed = parse_documents([Source(path.name, path.read_text())])
    report = run_tests(parsed, lambda compiled: KernelJudge(compiled, judging))
    assert [str(failure.to_dict()) for failure in report.failed] == []


def test_there_are_spec_files() -> None:
    """A suite that finds no file does not pass for that."""
    assert len(FILES) > 20
