from __future__ import annotations

from ringfence.tui.series import Rates, Series, sparkline


def test_the_highest_number_is_a_whole_bar() -> None:
    """Bars are in proportion to the highest; nothing is the lowest bar, and what is not nothing is more than that."""
    assert "▁▂▅█" == sparkline([0, 0.001, 50, 100])
    assert "▁▁" == sparkline([0, 0])


def test_the_newest_is_flush_right() -> None:
    """A line has the newest numbers, as many as there is room for, and its scale is that of those shown."""
    series = Series()
    for number in (1000, 1, 2):
        series.add(number)
    assert "   █▂▂" == series.line(6)
    assert "▅█" == series.line(2)
    assert 2 == series.newest


def test_rates_are_differences_over_time() -> None:
    """A counter's rate is how much it grew a second; one that is new, or was counted anew, has none."""
    rates = Rates()
    rates.take(10.0, [("a", 100), ("b", 50)])
    assert 0.0 == rates.of("a")
    rates.take(12.0, [("a", 150), ("b", 10), ("c", 5)])
    assert [25.0, 0.0, 0.0, 0.0] == [rates.of(key) for key in ("a", "b", "c", "unheard of")]
