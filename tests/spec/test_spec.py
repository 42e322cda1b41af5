from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.test import JUDGES, run_tests

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "tests/spec").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")])


def parse_file(path: Path) -> Parsed:
    return parse_documents([Source(str(path.relative_to(ROOT)), path.read_text("utf-8"))])


@pytest.mark.parametrize("judge", sorted(JUDGES))
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_behaviour(path: Path, judge: str) -> None:
    """Every judge gives every case of the corpus the verdict, and the policy, that the file expects."""
    parsed = parse_file(path)
    report = run_tests(parsed, JUDGES[judge])
    assert report.cases, "a file of the corpus has cases"
    assert not report.failed, "\n".join(
        f"{failure.case.origin} {failure.traffic}: {failure.judgement}" for failure in report.failed
    )


def test_the_corpus_is_there() -> None:
    """Each behaviour has a file; the examples are judged as well."""
    assert len(FILES) > 50
