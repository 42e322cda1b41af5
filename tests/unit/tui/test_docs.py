from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SHOWN = re.compile(r"<!-- (tests/unit/tui/screens/\S+) -->\n```text\n(.*?)```\n", re.DOTALL)


def test_the_screens_of_the_page_are_those_that_are_drawn() -> None:
    """Every screen in docs/top.md is one that the tests hold against what the dashboard draws."""
    page = (ROOT / "docs" / "top.md").read_text()
    shown = SHOWN.findall(page)
    assert page.count("```text") == len(shown)
    assert shown
    for name, screen in shown:
        assert (ROOT / name).read_text() == screen, name
