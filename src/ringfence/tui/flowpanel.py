"""The first tab: flows by their newest verdict, or single verdicts, under the rates over time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from textual.app import ComposeResult

from ringfence.tui.chain import Line
from ringfence.tui.columns import Column, cut
from ringfence.tui.flip import Companion
from ringfence.tui.flowlist import ORDERS, FlowKey, FlowRow, Order, key_of, opened
from ringfence.tui.panels import Panel
from ringfence.tui.picture import Picture, Wanted
from ringfence.tui.rows import Cell, Lines, Row, Rows
from ringfence.tui.series import Series
from ringfence.tui.wording import count, end_name, rate, rule_brief, rule_text

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import FlowShape

_ENDS: Final = (Column("FROM", 16, 3), Column("TO", 16, 3), Column("PORT", 9, 1))
_RULE: Final = Column("RULE", 18, 6, ends=True)
_FLOW_COLUMNS: Final = (Column("VERDICT", 7), Column("/S", 7, right=True), *_ENDS, _RULE)
_VERDICT_COLUMNS: Final = (Column("TIME", 8), Column("VERDICT", 7), *_ENDS, _RULE)
_RATES: Final = 3


class FlowsPanel(Panel):
    """The flows. The cursor begins on one that is wanted first, if it comes before the cursor is moved."""

    def __init__(self, companion: Companion | None, wanted: Wanted | None) -> None:
        super().__init__()
        self._companion = companion
        self._wanted = wanted
        self._order: Order = ORDERS[0]
        self._rates = Lines(_RATES)
        self._aside = Lines(len(companion.lines()) if companion else 0)
        self._told = Lines(1)
        self._flows = Rows(_FLOW_COLUMNS, "no verdict yet")
        self._verdicts = Rows(_VERDICT_COLUMNS, "no verdict yet")
        self._keys: dict[Hashable, FlowKey] = {}
        self._single = False

    def compose(self) -> ComposeResult:
        """Stack the parts."""
        self._verdicts.display = False
        yield from (self._rates, self._aside, self._told, self._flows, self._verdicts)

    @property
    def list(self) -> Rows:
        """The list that is shown."""
        return self._verdicts if self._single else self._flows

    @property
    def chosen(self) -> FlowKey | None:
        """The flow under the cursor."""
        return self._keys.get(self.list.cursor)

    def turn(self) -> None:
        """Show single verdicts instead of flows, or flows again."""
        self._single = not self._single
        self._flows.display, self._verdicts.display = not self._single, self._single
        self.list.focus()

    def reorder(self) -> None:
        """Take the next order."""
        self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]

    def on_rows_moved(self) -> None:
        """Whoever moves the cursor wants to have it where it is."""
        self._wanted = None

    def draw(self, picture: Picture) -> None:
        """Show rates, what is shown of how much, and the list."""
        self._draw(picture, picture.flows.rows(self._order))

    def freeze(self, picture: Picture) -> None:
        """Show it as it is now, whatever becomes of the flows."""
        self._draw(picture, [replace(each) for each in picture.flows.rows(self._order)])

    def _draw(self, picture: Picture, rows: Sequence[FlowRow]) -> None:
        width = self.size.width
        series = (("allowed/s", picture.allowed, "allow"), ("denied/s", picture.denied, "deny"))
        lines = [_spark(name, each, mark, width) for name, each, mark in (*series, ("lost/s", picture.lost, "warn"))]
        self._rates.draw_lines(lines)
        if self._companion:
            self._aside.draw_lines([Line(text) for text in self._companion.lines()])
        shown = self._draw_verdicts(picture) if self._single else self._draw_flows(picture, rows)
        self._told.draw_lines([_told(picture, shown, width)])

    def _draw_flows(self, picture: Picture, rows: Sequence[FlowRow]) -> str:
        found = next((each.key for each in rows if self._wanted and self._wanted(each.flow)), None)
        if found is not None:
            self._flows.cursor, self._wanted = found, None
        self._keys = {each.key: each.key for each in rows}
        self._flows.draw_rows([Row(each.key, partial(_flow_cells, each)) for each in rows])
        more = f", {count(picture.flows.left_out)} more not told" if picture.flows.left_out else ""
        flows = "1 flow" if len(rows) == 1 else f"{count(len(rows))} flows"
        return f"{flows}{more}; {_rate_told(picture)} verdicts/s; {self._order} first"

    def _draw_verdicts(self, picture: Picture) -> str:
        sample = [opened(flow) for flow in reversed(picture.sample())]
        keys = [(flow["time"], key_of(flow)) for flow in sample]
        cells = [partial(_verdict_cells, flow) for flow in sample]
        self._keys = {key: key[1] for key in keys}
        self._verdicts.draw_rows([Row(*each) for each in zip(keys, cells, strict=True)])
        return f"showing {len(sample)} of {_rate_told(picture)} verdicts/s, newest first"


def _rate_told(picture: Picture) -> str:
    digest = picture.digest
    return count(digest["events"] / max(digest["seconds"], 1e-6)) if digest else "0"


def _told(picture: Picture, shown: str, width: int) -> Line:
    asked = f"filter {picture.asked.line}" if picture.asked.line else "no filter"
    return Line(
        f"{shown}; {cut(asked, max(width - len(shown) - 2, 9))}"[:width], "warn" if picture.asked.line else "dim"
    )


def _spark(name: str, series: Series, mark: str, width: int) -> Line:
    text = f"{name:<10}{series.line(max(0, width - 21))} {rate(series.newest):>10}"
    return Line(text, mark if series.most else "dim")


def _verdict_cell(flow: FlowShape) -> Cell:
    return Cell((flow["verdict"].upper(),), flow["verdict"])


def _rule_cell(flow: FlowShape) -> Cell:
    return Cell((rule_text(flow["rule"]), rule_brief(flow)) if flow["rule"] else (rule_brief(flow),))


def _ends(flow: FlowShape) -> tuple[str, str, Cell]:
    port = Cell((flow["port"], flow["port"].replace("echo-request", "echo")))
    return end_name(flow["source"]), end_name(flow["destination"]), port


def _flow_cells(shown: FlowRow) -> list[Cell | str]:
    flow = shown.flow
    return [_verdict_cell(flow), rate(shown.rate), *_ends(flow), _rule_cell(flow)]


def _verdict_cells(flow: FlowShape) -> list[Cell | str]:
    time = flow["time"].partition("T")[2][:8]
    return [time, _verdict_cell(flow), *_ends(flow), _rule_cell(flow)]
