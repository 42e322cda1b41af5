"""Widgets that draw lines: a list with a cursor that stays on its row while rows come and go, and plain lines.

Only what is on the screen is drawn, so that a list of a thousand rows costs what twenty do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ringfence.tui.chain import Line
from ringfence.tui.columns import GAP, Column, cell, heading, widths

MARKS: Final = {
    "": Style(),
    "allow": Style(color="green", bold=True),
    "deny": Style(color="red", bold=True),
    "warn": Style(color="yellow", bold=True),
    "rule": Style(color="yellow", bold=True),
    "title": Style(bold=True, underline=True),
    "dim": Style(dim=True),
}
_HERE: Final = Style(reverse=True)
#: Beside the cursor's reverse, for terminals that show none.
_CURSOR, _NO_CURSOR = ">", " "


@dataclass(frozen=True, slots=True)
class Cell:
    """What a row says in a column: several ways, the longest that fits first."""

    texts: tuple[str, ...]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing in a list. Its cells are made when it is on the screen; a text stands for one without a mark."""

    key: Hashable
    cells: Callable[[], Sequence[Cell | str]]


class Rows(Widget, can_focus=True):
    """A list. `cursor` is the key of the row that has the cursor."""

    DEFAULT_CSS = "Rows { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row."""

    class Chosen(Message):
        """Enter was pressed on a row."""

        def __init__(self, key: Hashable) -> None:
            super().__init__()
            self.key = key

    def __init__(self, columns: Sequence[Column], empty: str) -> None:
        super().__init__()
        self._columns = columns
        self._empty = empty
        self._rows: Sequence[Row] = ()
        self._at = 0
        self._top = 0
        self.cursor: Hashable = None

    def draw_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows. A cursor whose row is gone stays where it was on the screen."""
        self._rows = rows
        found = next((number for number, each in enumerate(rows) if each.key == self.cursor), None)
        self._at = max(0, min(len(rows) - 1, self._at)) if found is None else found
        if rows:
            self.cursor = rows[self._at].key
        self._scroll()

    @property
    def _room(self) -> int:
        return max(1, self.size.height - 1)

    def _scroll(self) -> None:
        self._top = max(0, min(self._top, self._at, len(self._rows) - self._room))
        self._top = max(self._top, self._at - self._room + 1)
        self.refresh()

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._scroll()

    def _go(self, at: int) -> None:
        if not self._rows:
            return
        self._at = max(0, min(len(self._rows) - 1, at))
        self.cursor = self._rows[self._at].key
        self._scroll()
        self.post_message(self.Moved())

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._go(self._at + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by as many rows as are shown."""
        self._go(self._at + by * self._room)

    def action_choose(self) -> None:
        """Tell that the row under the cursor was chosen."""
        if self._rows:
            self.post_message(self.Chosen(self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        if event.y:
            self._go(self._top + event.y - 1)

    def on_mouse_scroll_down(self) -> None:
        """Move on."""
        self.action_move(1)

    def on_mouse_scroll_up(self) -> None:
        """Move back."""
        self.action_move(-1)

    def render_line(self, y: int) -> Strip:
        """One line of the screen: the titles, or a row."""
        width = self.size.width
        if y == 0:
            title = f"{_NO_CURSOR} {heading(self._columns, width - 2)}"
            return _strip([Segment(title, MARKS["title"])], width)
        at = self._top + y - 1
        if at < len(self._rows):
            return _strip(self._segments(self._rows[at], width - 2, here=at == self._at), width)
        return _strip([Segment(f"  {self._empty}" if y == 1 and not self._rows else "", Style())], width)

    def _segments(self, shown: Row, width: int, *, here: bool) -> list[Segment]:
        base = _HERE if here else Style()
        found = [Segment(f"{_CURSOR if here else _NO_CURSOR} ", base)]
        for column, room, each in zip(self._columns, widths(self._columns, width), shown.cells(), strict=True):
            said = Cell((each,)) if isinstance(each, str) else each
            found.append(Segment(cell(column, room, *said.texts), base + MARKS[said.mark]))
            found.append(Segment(" " * GAP, base))
        return found


class Lines(Widget):
    """Lines of text: so many, or with no `height` all the room there is and more, a part of them by the arrow keys."""

    DEFAULT_CSS = "Lines { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown", "scroll(10)", show=False),
    ]

    def __init__(self, height: int | None = None) -> None:
        super().__init__()
        self.can_focus = height is None
        if height is not None:
            self.styles.height = height
        self._lines: Sequence[Line] = ()
        self._top = 0

    def draw_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines."""
        self._lines = lines
        self.action_scroll(0)

    def action_scroll(self, by: int) -> None:
        """Show an earlier or a later part."""
        self._top = max(0, min(self._top + by, len(self._lines) - self.size.height))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        at = self._top + y
        shown = self._lines[at] if at < len(self._lines) else Line("")
        return _strip([Segment(shown.text, MARKS[shown.mark])], self.size.width)


def _strip(segments: list[Segment], width: int) -> Strip:
    """A line of the screen. Whatever was written in a policy or a label, none of it is an order to the terminal."""
    segments = [Segment(_harmless(text), style) for text, style, _ in segments]
    # What fills the line has a style too: the filters that take colours away know no line without one.
    return Strip(segments).adjust_cell_length(width, Style())


def _harmless(text: str) -> str:
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)
