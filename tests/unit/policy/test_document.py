from __future__ import annotations

import string

import pytest

from ringfence.errors import Problem
from ringfence.policy.document import MAX_DEPTH, read_documents


def read(text: str) -> tuple[list[object], list[Problem]]:
    problems: list[Problem] = []
    return [document.data for document in read_documents("f", text, problems)], problems


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 1", {"a": 1}),
        ("a: 0x10", {"a": 16}),
        ("a: 010", {"a": 8}),
        ("a: 1.5", {"a": 1.5}),
        ("a: '1'", {"a": "1"}),
        ("a: !!str 1", {"a": "1"}),
        ("a: on", {"a": True}),
        ("a: NO", {"a": False}),
        ("a:", {"a": None}),
        ("a: 2026-01-01T00:00:00Z", {"a": "2026-01-01T00:00:00Z"}),
        ("a: 12:30", {"a": "12:30"}),
        ("a: 1e3", {"a": 1000.0}),
        ("1: x", {"1": "x"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ('{"a": [true, null]}', {"a": [True, None]}),
    ],
)
def test_scalars_are_what_kubernetes_reads(text: str, data: object) -> None:
    """Numbers, truths and nothing as in YAML 1.1, times as text, keys always as text."""
    assert read(text) == ([data], [])


def test_places_are_those_of_keys_and_values() -> None:
    """Lines and columns count from 1; a path that is not there is at the nearest node around it."""
    (document,) = read_documents("f", "# x\n---\na:\n- b: 1\n  c: [2, 3]\n", [])
    paths: list[list[str | int]] = [["a", 0, "c", 1], ["a", 0, "z"], []]
    places = [document.place.at(path) for path in paths]
    assert [(place.line, place.column) for place in places] == [(5, 10), (4, 3), (3, 1)]
    key = document.place.of_key(["a", 0, "c"])
    assert (key.line, key.column) == (5, 3)


def test_documents_are_counted_and_keep_their_text() -> None:
    """Empty documents are left out but counted."""
    documents = read_documents("f", "---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n", [])
    assert [(each.number, each.data, each.text) for each in documents] == [
        (2, {"a": 1}, "a: 1\n"),
        (4, {"b": 2}, "b: 2\n"),
    ]


@pytest.mark.parametrize("opening", ["", "---\n", "# why\n---\n", "a: 0\n---\n# why\n\n", "%YAML 1.1\n---\n"])
def test_a_text_says_where_in_its_file_it_begins(opening: str) -> None:
    """A line of a document's text is found in its file, whatever stands before the document."""
    text = f"{opening}b:\n- c: 1\n"
    document = read_documents("f", text, [])[-1]
    line = document.place.at(["b", 0]).line
    assert text.splitlines().index("- c: 1") + 1 == line
    assert document.text.splitlines()[line - document.text_line] == "- c: 1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "f:2:1: broken YAML"),
        ("a: b: c", "f:1:5: broken YAML"),
        ("a: 1\nb: 2\na: 3", "f:3:1: key 'a' a second time; expected each key once (first in line 1)"),
        ("a: !!python/object:os.system x", "f:1:4: tag tag:yaml.org,2002:python/object:os.system"),
        ("? [a]\n: b", "f:1:3: a key that is no text"),
        ("a: &a [*a]", "f:1:8: alias *a; expected an anchor that ends before it"),
        ("a: *b", "f:1:4: alias *b"),
        ("<<: 3", "f:1:5: a merge of what is no mapping"),
        ("a: \x07", "f:1:4: a character that YAML does not allow"),
        ("[\n" * 50_000, f"f:{MAX_DEPTH + 1}:1: nesting deeper than {MAX_DEPTH}"),
    ],
)
def test_faults_have_a_place(text: str, problem: str) -> None:
    """What is no plain YAML is one problem, however deep it goes."""
    _, problems = read(text)
    assert len(problems) == 1
    assert str(problems[0]).startswith(problem)


def test_nesting_in_one_line_is_bounded_too() -> None:
    """Where libyaml meets its own bound first, looking ahead in a line, the problem is told in the same words."""
    _, problems = read("[" * 50_000)
    assert [problem.found for problem in problems] == [f"nesting deeper than {MAX_DEPTH}"]


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    """What aliases stand for is bounded in all."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip(string.ascii_lowercase, "bcdefghijkl", strict=False)
    ]
    _, problems = read("\n".join(lines))
    assert [problem.found for problem in problems] == ["aliases for more than 100000 nodes"]
