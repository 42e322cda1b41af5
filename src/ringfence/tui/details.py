"""The details of one flow on a screen of their own: its chain, live, and the lines of the rule that decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from ringfence.tui.chain import Line, chain
from ringfence.tui.columns import cut
from ringfence.tui.flowlist import FlowKey, FlowRow
from ringfence.tui.picture import Picture
from ringfence.tui.rows import Lines

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import FlowShape

KEYS = "A allow  D deny  C clear  Up/Down scroll  Esc back  Q quit"


class Details(Screen[None]):
    """One flow. What was last known of it stays when it falls silent."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,backspace,left", "app.pop_screen", show=False),
    ]

    def __init__(self, row: FlowRow) -> None:
        super().__init__()
        self._row = row
        self._title = Lines(1)
        self._chain = Lines()
        self._message = Lines(2)
        self._keys = Lines(1)

    @property
    def key(self) -> FlowKey:
        """Which flow is shown."""
        return self._row.key

    @property
    def flow(self) -> FlowShape:
        """Its newest verdict."""
        return self._row.flow

    def compose(self) -> ComposeResult:
        """Stack the parts."""
        yield from (self._title, self._chain, self._message, self._keys)

    def draw(self, picture: Picture) -> None:
        """Show what is known of the flow now."""
        self._row = picture.flows.get(self.key) or self._row
        width = self.app.size.width
        state = f"  {picture.gone}" if picture.gone else ""
        title = f"{self.key.source} -> {self.key.destination} {self.key.port}{state}"
        self._title.draw_lines([Line(cut(title, width).ljust(width), "title")])
        self._chain.draw_lines(chain(self._row, picture.policy_of(self._row.flow), width))
        self._message.display = bool(picture.message)
        self._message.draw_lines([Line(cut(text, width), "warn") for text in picture.message])
        self._keys.draw_lines([Line(cut(KEYS, width), "dim")])
