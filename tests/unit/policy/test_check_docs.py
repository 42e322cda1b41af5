from __future__ import annotations

import re
from pathlib import Path

from ringfence.policy.findings import Kind

DOCS = Path(__file__).parents[3] / "docs" / "check.md"


def test_every_code_is_explained() -> None:
    """docs/check.md has a row for every kind of finding, under its code and name, and for nothing else."""
    rows = re.findall(r"^\| (RF\d+) \| ([a-z-]+) \|", DOCS.read_text(), re.MULTILINE)
    assert rows == [(kind.code, kind.title) for kind in Kind]
