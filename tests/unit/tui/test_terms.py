from __future__ import annotations

import json

import pytest

from ringfence.errors import BadInput
from ringfence.flow.query import FlowQuery
from ringfence.tui.terms import EXAMPLE, NOTHING_ASKED, parse_line


def fields(line: str) -> tuple[list[object], list[object]]:
    asked = parse_line(line)
    return [json.loads(each) for each in asked.allow], [json.loads(each) for each in asked.deny]


def test_terms_of_one_name_are_alternatives_and_all_names_must_agree() -> None:
    """Terms make one filter, whose fields hold all that was said of their name."""
    expected = {"from": ["app=front", "10.0.0.0/8"], "port": ["8080/TCP"], "type": ["drop"]}
    assert ([expected], []) == fields("from:app=front from:10.0.0.0/8 port:8080/TCP verdict:drop")


def test_a_minus_takes_away() -> None:
    """Each term with a minus is a filter of its own, none of which may agree."""
    assert ([], [{"rule": ["web.yaml:12"]}, {"to": ["shop/web"]}]) == fields("-rule:web.yaml:12 -to:shop/web")


def test_quotes_keep_blanks() -> None:
    """A selector with blanks is one value."""
    assert ([{"from": ["app in (a, b)"]}], []) == fields("from:'app in (a, b)'")


def test_names_are_fields_of_a_filter_whatever_their_case() -> None:
    """Every field that the agent's filters have can be written, with dashes too."""
    assert ([{"source_label": ["app=a"]}], []) == fields("Source-Label:app=a")


@pytest.mark.parametrize("line", ["nonsense", "from:", ":x", "-", "from:'a"])
def test_what_is_no_term_is_refused(line: str) -> None:
    """A word without a name or a value is told as such."""
    with pytest.raises(BadInput):
        parse_line(line)


def test_nothing_asks_for_everything() -> None:
    """An empty line is no filter."""
    assert NOTHING_ASKED == parse_line("  ")


def test_the_example_is_one_that_the_agent_takes() -> None:
    """What the line suggests means something."""
    asked = parse_line(EXAMPLE)
    assert FlowQuery.parse(asked.allow, asked.deny).deny
