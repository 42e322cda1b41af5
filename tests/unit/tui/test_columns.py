from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.tui.columns import GAP, Column, cell, cut, widths

COLUMNS = (Column("A", 5), Column("B", 4, 1), Column("C", 6, 3))


@given(st.integers(18, 400))
def test_columns_fill_the_terminal(total: int) -> None:
    """Whatever is left over goes to the columns that can use it: no line is longer or shorter than the terminal."""
    found = widths(COLUMNS, total)
    assert total == sum(found) + GAP * (len(COLUMNS) - 1) + max(0, 17 - total)
    assert found[0] == 5
    assert all(width >= column.width for width, column in zip(found, COLUMNS, strict=True))


def test_a_text_that_is_too_long_shows_that_it_goes_on() -> None:
    """It is cut on the right, or on the left where its end says more."""
    assert "defa…" == cut("default/web", 5)
    assert "….yaml:12" == cut("policies/web.yaml:12", 9, ends=True)
    assert "short" == cut("short", 5)
    assert "" == cut("short", 0)


def test_the_longest_way_to_say_it_that_fits_is_taken() -> None:
    """A cell has several texts, the most telling first; the last is cut if even that does not fit."""
    assert "denied by web  " == cell(Column("", 0), 15, "denied by web", "web.yaml:12")
    assert "web.yaml:12 " == cell(Column("", 0), 12, "denied by web", "web.yaml:12")
    assert "web.…" == cell(Column("", 0), 5, "denied by web", "web.yaml:12")
    assert "   7" == cell(Column("", 0, right=True), 4, "7")
