from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.agent.journal import Item, Journal
from ringfence.errors import RingfenceError

A, B = Item("kind", "a"), Item("kind", "b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def reopened(path: Path) -> dict[str, object]:
    journal = Journal(path)
    try:
        return dict(journal.items("kind"))
    finally:
        journal.close()


def test_written_values_are_there_again(path: Path) -> None:
    """What was written is found by the next that opens the journal; None forgets."""
    journal = Journal(path)
    journal.write({A: {"x": 1}, B: [2]})
    journal.write({A: None})
    assert {"b": [2]} == reopened(path)


def test_a_change_costs_its_own_line(path: Path) -> None:
    """Writing one value appends one line and leaves the rest of the file alone."""
    journal = Journal(path)
    journal.write({Item("kind", str(n)): "x" * 100 for n in range(100)})
    before = path.stat().st_size
    journal.write({A: 1})
    assert path.stat().st_size - before < 40


@given(cut=st.integers(min_value=1, max_value=30))
def test_transaction_cut_short_never_was(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """A line that a kill cut short, at whatever byte, is dropped whole; what stands before it stays."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    journal.write({A: "kept"})
    whole = path.stat().st_size
    journal.write({A: "lost", B: "lost too"})
    journal.close()
    data = path.read_bytes()
    path.write_bytes(data[: max(whole, len(data) - cut)])
    assert {"a": "kept"} == reopened(path)


def test_take_back(path: Path) -> None:
    """The write of a commit that failed is as if it had not been, also after a restart."""
    journal = Journal(path)
    journal.write({A: "old"})
    journal.write({A: "new", B: "new"})
    journal.take_back()
    assert {"a": "old"} == dict(journal.items("kind"))
    assert {"a": "old"} == reopened(path)


def test_history_is_dropped(path: Path) -> None:
    """A file that is mostly history is written anew, with what is live alone."""
    journal = Journal(path)
    for number in range(30):
        journal.write({A: str(number) * 100_000})
    assert path.stat().st_size < 1_600_000
    assert {"a": "29" * 100_000} == reopened(path)


def test_unreadable_state_is_told(path: Path) -> None:
    """A file that is no journal is not overwritten: whoever runs the agent decides."""
    path.write_text("nonsense\n")
    with pytest.raises(RingfenceError, match="cannot be read"):
        Journal(path)
    assert "nonsense\n" == path.read_text()
