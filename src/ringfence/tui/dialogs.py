"""Dialogs: what has to be answered or read before anything else goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from ringfence.tui.chain import Line
from ringfence.tui.columns import cut
from ringfence.tui.rows import Lines

_WIDTH: Final = 76
_ESCAPES: Final = ("escape",)

HELP: Final = (
    ("1 2 3 4 5", "flows, endpoints, rules, losses, set by hand"),
    ("Up Down PgUp PgDn", "move the cursor; it stays on its row"),
    ("Enter", "the chosen flow's chain: address, identity, labels,"),
    ("", "rule, file:line and the lines written there"),
    ("A", "allow the chosen flow, whatever policies say"),
    ("D", "deny it"),
    ("C", "take back what was set here by A and D"),
    ("/", "filter: from:app=front to:shop/web port:80/TCP"),
    ("", "verdict:drop -rule:web.yaml; nothing: no filter"),
    ("Space", "pause the flows; on again with Space"),
    ("V", "single verdicts, newest first, or flows again"),
    ("S", "order of flows: busiest, denied or name first"),
    ("Q", "quit; asks whether what was set here stays"),
)


class Dialog(ModalScreen[str]):
    """Lines in a box, answered by one of some keys. The answer is what the key stands for; Esc gives the last."""

    DEFAULT_CSS = f"""
    Dialog {{ align: center middle; }}
    Dialog > Vertical {{ width: {_WIDTH}; max-width: 100%; height: auto; max-height: 100%; border: solid white; }}
    """
    AUTO_FOCUS: ClassVar[str | None] = None

    def __init__(self, lines: Sequence[Line], answers: Mapping[str, str]) -> None:
        super().__init__()
        self._lines = lines
        self._answers = answers

    def compose(self) -> ComposeResult:
        """A box of lines."""
        shown = Lines(len(self._lines))
        shown.draw_lines([Line(cut(line.text, _WIDTH - 2), line.mark) for line in self._lines])
        yield Vertical(shown)

    def on_key(self, event: events.Key) -> None:
        """Take an answer; every other key asks for nothing here."""
        event.stop()
        event.prevent_default()
        pressed = event.key.lower()
        if pressed in self._answers:
            self.dismiss(self._answers[pressed])
        elif pressed in _ESCAPES or not self._answers:
            self.dismiss(list(self._answers.values())[-1] if self._answers else "")


def leaving(entries: Sequence[str], room: int) -> Dialog:
    """Ask what becomes of what was set here."""
    return Dialog(
        [
            Line("Set by hand here, and in force:", "title"),
            *_few(entries, room),
            Line(""),
            Line("U undo it and quit    K keep it and quit    Esc stay", "warn"),
        ],
        {"u": "undo", "k": "keep", "q": "stay", "s": "stay"},
    )


def clearing(entries: Sequence[str], room: int) -> Dialog:
    """Ask whether what was set by hand before, by whomever, is to be cleared too."""
    return Dialog(
        [
            Line("Set by hand before this dashboard was opened:", "title"),
            *_few(entries, room),
            Line(""),
            Line("Y clear it too    N leave it", "warn"),
        ],
        {"y": "clear", "n": "leave"},
    )


def help_screen() -> Dialog:
    """Tell what the keys do; any key goes back."""
    keys = [Line(f"{key:<18} {what}") for key, what in HELP]
    return Dialog([Line("Keys", "title"), *keys, Line(""), Line("any key goes back", "dim")], {})


def _few(entries: Sequence[str], room: int) -> list[Line]:
    shown = [Line(f"  {entry}") for entry in entries[:room]]
    return [*shown, Line(f"  and {len(entries) - room} more")] if len(entries) > room else shown
