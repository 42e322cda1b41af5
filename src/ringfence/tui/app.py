"""The dashboard itself: tabs, keys, and the way from news to picture to screen."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from ringfence.errors import BadInput
from ringfence.tui.byhand import Action
from ringfence.tui.chain import Line
from ringfence.tui.changes import clearing_all, flipping, undoing
from ringfence.tui.columns import cut
from ringfence.tui.details import Details
from ringfence.tui.dialogs import Dialog, clearing, help_screen, leaving
from ringfence.tui.feeds import DigestFeed, PollFeed, Topic
from ringfence.tui.flip import Change, Companion, Flips
from ringfence.tui.flowpanel import FlowsPanel
from ringfence.tui.news import Failed, Made, News
from ringfence.tui.panels import ByHandPanel, EndpointsPanel, LossesPanel, Panel, RulesPanel
from ringfence.tui.picture import Picture, Wanted
from ringfence.tui.rows import Lines, Rows
from ringfence.tui.terms import EXAMPLE, NOTHING_ASKED, Asked, parse_line
from ringfence.tui.wording import entry_text

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import FlowShape

TABS: Final = ("Flows", "Endpoints", "Rules", "Losses", "By hand")
TOPICS: Final[dict[int, Topic]] = {1: "endpoints", 2: "rules"}
KEYS: Final = "Enter chain  A allow  D deny  C clear  / filter  Space pause  ? help  Q quit"
NO_CHOICE: Final = "choose a flow first: 1, then the arrow keys"


@dataclass(frozen=True, slots=True)
class Options:
    """What is looked at and how. `interval` in seconds between two drawings; `wanted` is the flow to begin with.

    `companion` goes along with flips; with it nobody is asked on leaving, for all is taken down then. `lifetime` ends
    it after some seconds.
    """

    socket: str
    interval: float = 0.5
    asked: Asked = NOTHING_ASKED
    wanted: Wanted | None = None
    companion: Companion | None = None
    lifetime: float | None = None


class Arrived(Message):
    """News from a thread."""

    def __init__(self, news: News) -> None:
        super().__init__()
        self.news = news


class Top(App[None]):
    """The dashboard."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; overflow: hidden; }
    #filter { height: 1; border: none; padding: 0; display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"tab({number - 1})", show=False) for number in range(1, len(TABS) + 1)),
        Binding("a,A", "flip('allow')", show=False),
        Binding("d,D", "flip('deny')", show=False),
        Binding("c,C", "clear", show=False),
        # First of all, so that what is written right after it goes to the filter line in whole and in order.
        Binding("slash", "edit_filter", show=False, priority=True),
        Binding("space", "pause", show=False),
        Binding("v,V", "turn", show=False),
        Binding("s,S", "reorder", show=False),
        Binding("question_mark", "keys", show=False),
        Binding("q,Q,ctrl+c,ctrl+q", "leave", show=False),
    ]

    def __init__(self, options: Options) -> None:
        # The terminal's own colours, on its own background.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.failure: Exception | None = None
        self._options = options
        self.picture = Picture(options.asked)
        self._digests = DigestFeed(options.socket, options.interval, self._tell)
        self._polls = PollFeed(options.socket, self._tell)
        self._flips = Flips(options.socket, self._tell, options.companion)
        self._flows = FlowsPanel(options.companion, options.wanted)
        self._panels: list[Panel] = [self._flows, EndpointsPanel(), RulesPanel(), LossesPanel(), ByHandPanel()]
        self._tab = 0
        self._paused = False
        self._leaving = False
        self._title = Lines(1)
        self._filter = Input(id="filter", compact=True, placeholder=EXAMPLE, select_on_focus=False)
        self._message = Lines(2)
        self._keys = Lines(1)

    def _handle_exception(self, error: Exception) -> None:
        """Give an error to whoever opened the dashboard, who knows how to tell one; a test has it raised."""
        if self.is_headless:
            super()._handle_exception(error)
            return
        self.failure = error
        self.exit(return_code=1)

    def compose(self) -> ComposeResult:
        """Stack the parts; of the panels one is shown."""
        yield self._title
        for panel in self._panels:
            panel.display = panel is self._flows
            yield panel
        yield from (self._filter, self._message, self._keys)

    def on_mount(self) -> None:
        """Begin to read."""
        self._flows.list.focus()
        self._digests.start(self._options.asked)
        self._polls.start()
        if self._options.lifetime is not None:
            self.set_timer(self._options.lifetime, self.exit)

    def on_unmount(self) -> None:
        """End every thread."""
        self._flips.stop()
        self._digests.stop()
        self._polls.stop()

    def _tell(self, news: News) -> None:
        self.post_message(Arrived(news))

    @on(Arrived)
    def take_arrived(self, arrived: Arrived) -> None:
        """Take what a thread has told."""
        self.take(arrived.news)

    def take(self, news: News) -> None:
        """Take news in and show them. What comes while another is drawn is drawn together with the next."""
        self.picture.take(news)
        self.draw()
        if self._leaving and isinstance(news, Made | Failed):
            self._left(undone=isinstance(news, Made))

    def on_resize(self) -> None:
        """Fill the terminal."""
        self.call_after_refresh(self.draw)

    @on(Rows.Moved)
    def draw(self) -> None:
        """Show the picture on whatever is on the screen; once it is being left there is none."""
        if not self.screen_stack:
            return
        if isinstance(self.screen, Details):
            self._fetch_policy(self.picture.chosen_flow(self.screen.key))
            self.screen.draw(self.picture)
            return
        panel = self._panels[self._tab]
        if not (self._paused and panel is self._flows):
            panel.draw(self.picture)
        width = self.size.width
        self._title.draw_lines([Line(_title(self.picture, self._tab, width, paused=self._paused))])
        gone = (f"{self.picture.gone}; trying again",) if self.picture.gone else ()
        told = (*gone, *self.picture.message)[:2]
        self._message.display = bool(told)
        self._message.draw_lines([Line(cut(text, width), "warn") for text in told])
        self._keys.draw_lines([Line(cut(KEYS, width), "dim")])

    def action_tab(self, number: int) -> None:
        """Show another panel."""
        if isinstance(self.screen, Details):
            self.pop_screen()
        self._tab = number
        for panel in self._panels:
            panel.display = panel is self._panels[number]
        self._polls.look_at(TOPICS.get(number))
        self._panels[number].list.focus()
        self.call_after_refresh(self.draw)

    def action_pause(self) -> None:
        """Keep the flows as they are on the screen, or go on."""
        self._paused = not self._paused
        self._flows.freeze(self.picture)
        self.draw()

    def action_turn(self) -> None:
        """Show single verdicts, or flows again."""
        self._flows.turn()
        self.call_after_refresh(self.draw)

    def action_reorder(self) -> None:
        """Take the next order of flows."""
        self._flows.reorder()
        self.draw()

    def action_keys(self) -> None:
        """Tell what the keys do."""
        self.push_screen(help_screen())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the filter line a slash is a slash; in a dialog it is none of its keys."""
        if action == "edit_filter":
            return not self._filter.display and not isinstance(self.screen, Dialog)
        return super().check_action(action, parameters)

    def action_edit_filter(self) -> None:
        """Let the filter line be written."""
        if isinstance(self.screen, Details) or self._tab:
            self.action_tab(0)
        self._filter.value = self.picture.asked.line
        self._filter.cursor_position = len(self._filter.value)
        self._filter.display = True
        self.screen.set_focus(self._filter)

    @on(Input.Submitted)
    def ask(self, event: Input.Submitted) -> None:
        """Ask the agent for what the line says; a line that says nothing it can is told, and stays to be mended."""
        try:
            asked = parse_line(event.value)
        except BadInput as error:
            self._say(str(error))
            return
        self._end_editing()
        self.picture.ask(asked)
        self._say()
        self._digests.ask(asked)

    def on_key(self, event: events.Key) -> None:
        """Leave the filter line as it was."""
        if event.key == "escape" and self._filter.display:
            self._end_editing()

    def _end_editing(self) -> None:
        self._filter.display = False
        self._flows.list.focus()

    def _say(self, *lines: str) -> None:
        self.picture.message = lines
        self.draw()

    @on(Rows.Chosen)
    def show_details(self) -> None:
        """Show the chain of the chosen flow."""
        row = self.picture.flows.get(self._flows.chosen) if self._flows.chosen and not self._tab else None
        if row is not None:
            self.push_screen(Details(row))
            self.call_after_refresh(self.draw)

    def _fetch_policy(self, flow: FlowShape | None) -> None:
        """Have the text of a flow's policy come, once."""
        uid = flow["rule"]["policy"] if flow and flow["rule"] else ""
        if "/" in uid and uid not in self.picture.policies:
            self.picture.policies[uid] = None
            self._polls.fetch_policy(uid)

    def _chosen(self) -> FlowShape | None:
        if isinstance(self.screen, Details):
            return self.screen.flow
        return self.picture.chosen_flow(self._flows.chosen) if not self._tab else None

    def action_flip(self, action: Action) -> None:
        """Allow or deny the chosen flow by hand."""
        flow = self._chosen()
        if flow is None:
            self._say(NO_CHOICE)
            return
        self._make(flipping(flow, action))

    def action_clear(self) -> None:
        """Take back what was set here; with nothing of that, ask about what was set before."""
        if self.picture.ledger.mine:
            self._make(undoing(self.picture))
        elif self.picture.set_before:
            before = [entry_text(entry) for entry in self.picture.set_before]
            self.push_screen(clearing(before, self._few), self._cleared)
        else:
            self._say("nothing is set by hand")

    def _cleared(self, answer: str | None) -> None:
        if answer == "clear":
            self._make(clearing_all(self.picture))

    def _make(self, change: Change) -> None:
        self._say(f"{change.what} ...")
        self._flips.make(change)

    @property
    def _few(self) -> int:
        """How many entries a dialog has room for."""
        return max(3, self.size.height - 8)

    def action_leave(self) -> None:
        """Quit; what was set here is asked about."""
        here = [entry_text(entry) for entry in self.picture.set_here]
        if here and self._options.companion is None:
            self.push_screen(leaving(here, self._few), self._answered)
        else:
            self.exit()

    def _answered(self, answer: str | None) -> None:
        if answer == "keep":
            self.exit()
        elif answer == "undo":
            self._leaving = True
            self._make(undoing(self.picture))

    def _left(self, *, undone: bool) -> None:
        """Go when all is taken back; stay where it could not be, with the reason told."""
        self._leaving = False
        if undone:
            self.exit()


def _title(picture: Picture, tab: int, width: int, *, paused: bool) -> str:
    names = [f"{name} {len(picture.by_hand)}" if name == TABS[-1] and picture.by_hand else name for name in TABS]
    tabs = "".join(
        f"[{number} {name}]" if number == tab + 1 else f" {number} {name} " for number, name in enumerate(names, 1)
    )
    status = picture.status
    state = "NO AGENT" if picture.gone else "PAUSED" if paused else ""
    about = f"{status['instance']} rev {picture.revision}" if status else ""
    right = " ".join(part for part in (state, about) if part)
    return f"{tabs} {cut(right, width - len(tabs) - 1).rjust(width - len(tabs) - 1)}"


def run(options: Options) -> None:
    """Open the dashboard on this terminal and return when it is left, by SIGTERM too."""

    async def opened() -> None:
        top = Top(options)
        # The terminal is put back in order, whoever ends it.
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, top.exit)
        await top.run_async()
        if top.failure is not None:
            raise top.failure

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        asyncio.run(opened())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
