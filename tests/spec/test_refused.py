"""What is understood but not enforced: a file each, whose lines say by a comment that they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.errors import BadInput
from ringfence.policy.parse import Source, parse_documents

FILES = sorted((Path(__file__).parent / "refused").glob("*.yaml"))
MARK = "  # refused"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_not_enforced_is_refused_where_it_stands(path: Path) -> None:
    """Each marked line, and no other, is an error that says so; nothing of the policy is applied."""
    text = path.read_text("utf-8")
    marked = [number for number, line in enumerate(text.splitlines(), start=1) if line.endswith(MARK)]
    with pytest.raises(BadInput) as refusal:
        parse_documents([Source(path.name, text)])
    assert marked == [problem.line for problem in refusal.value.problems]
    for problem in refusal.value.problems:
        assert "which Ringfence does not enforce" in problem.found
        assert "nothing of this policy is applied" in problem.expected


def test_there_are_refusals() -> None:
    """A suite that finds no file does not pass for that."""
    assert len(FILES) > 10
