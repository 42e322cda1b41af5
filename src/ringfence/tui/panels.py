"""The other tabs: endpoints, rules, losses and what is set by hand, each drawn from the picture."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from textual.app import ComposeResult
from textual.containers import Vertical

from ringfence.engine.manual import ORIGIN as BY_HAND
from ringfence.tui.byhand import HandKey
from ringfence.tui.chain import Line
from ringfence.tui.columns import Column
from ringfence.tui.picture import Picture, rule_key
from ringfence.tui.rows import Cell, Lines, Row, Rows
from ringfence.tui.wording import count, entry_text, label_names, place, rate, size

if TYPE_CHECKING:
    from ringfence.api.shapes import EndpointShape, EntryShape, RuleShape, Status

_ENDPOINTS: Final = (
    Column("ENDPOINT", 18, 2),
    Column("IDENTITY", 8, right=True),
    Column("ENFORCED", 8),
    Column("DELIVERY", 8),
    Column("ALLOWED", 9, right=True),
    Column("DENIED", 9, right=True),
    Column("POLICIES", 8, right=True),
)
_RULES: Final = (
    Column("HITS/S", 7, right=True),
    Column("HITS", 9, right=True),
    Column("VERDICT", 7),
    Column("SIDE", 7),
    Column("POLICY", 23, 2, ends=True),
    Column("WRITTEN", 20, 1, ends=True),
)
_BY_HAND: Final = (
    Column("SET", 6),
    Column("ACTION", 6),
    Column("SIDE", 7),
    Column("OF", 14, 2),
    Column("PEER", 14, 2),
    Column("TRAFFIC", 14, 1),
    Column("PACKETS", 9, right=True),
)
_BOTH: Final = {(True, True): "both", (True, False): "ingress", (False, True): "egress", (False, False): "no"}


class Panel(Vertical):
    """One tab. `draw` shows the picture."""

    DEFAULT_CSS = "Panel { height: 1fr; }"

    @property
    def list(self) -> Rows | Lines:
        """What the arrow keys move in."""
        raise NotImplementedError

    def draw(self, picture: Picture) -> None:
        """Show what the picture knows."""
        raise NotImplementedError


class ListPanel(Panel):
    """A list, and under it all about the row that has the cursor."""

    def __init__(self, rows: Rows, lines: int) -> None:
        super().__init__()
        self._rows = rows
        self._about = Lines(lines)

    @property
    def list(self) -> Rows:
        return self._rows

    def compose(self) -> ComposeResult:
        """Stack the parts."""
        yield from (self._rows, self._about)


class EndpointsPanel(ListPanel):
    """The endpoints of the host."""

    def __init__(self) -> None:
        super().__init__(Rows(_ENDPOINTS, "no endpoints"), 5)

    def draw(self, picture: Picture) -> None:
        """List them, and tell labels and policies of one."""
        self._rows.draw_rows([Row(each["name"], partial(_endpoint_cells, picture, each)) for each in picture.endpoints])
        chosen = [each for each in picture.endpoints if each["name"] == self._rows.cursor]
        self._about.draw_lines([line for each in chosen for line in self._lines(picture, each)])

    def _lines(self, picture: Picture, shown: EndpointShape) -> Iterator[Line]:
        width = self.size.width
        yield Line(
            f"{shown['name']}: {', '.join(shown['addresses'])}, {shown['interface']} in {shown['netns']}"[:width]
        )
        yield Line(f"labels    {', '.join(shown['labels'])}"[:width])
        why = f": {shown['delivery_reason']}" if shown["delivery_reason"] else ""
        yield Line(f"delivery  {shown['delivery']}{why}"[:width])
        names = ", ".join(_policies(picture, shown)) or "none: all is allowed by default"
        for number, part in enumerate(wrap(names, max(20, width - 10), max_lines=2, placeholder=" ...")):
            yield Line(f"{'' if number else 'policies':<10}{part}")


def _endpoint_cells(picture: Picture, shown: EndpointShape) -> list[Cell | str]:
    subject = picture.subjects.get(shown["identity"])
    counted = (count(subject["allowed"]), count(subject["denied"])) if subject else ("-", "-")
    ready = Cell((shown["delivery"],)) if shown["state"] == "ready" else Cell((shown["state"],), "warn")
    policies = str(len(_policies(picture, shown)))
    return [shown["name"], str(shown["identity"]), _enforced(shown), ready, *counted, policies]


def _policies(picture: Picture, shown: EndpointShape) -> list[str]:
    subject = picture.subjects.get(shown["identity"])
    found = subject["policies"] if subject else []
    return ["by hand" if uid == BY_HAND else uid.rpartition("/")[2] for uid in found]


def _enforced(shown: EndpointShape) -> str:
    return _BOTH[shown["enforcement"]["ingress"], shown["enforcement"]["egress"]]


class RulesPanel(ListPanel):
    """The rules in force, those first that decide most just now."""

    def __init__(self) -> None:
        super().__init__(Rows(_RULES, "no rules"), 2)

    def draw(self, picture: Picture) -> None:
        """List them, and tell one in full."""
        rules = sorted(picture.rules, key=lambda rule: (-picture.hits.of(rule_key(rule)), -rule["packets"]))
        self._rows.draw_rows([Row(rule_key(each), partial(_rule_cells, picture, each)) for each in rules])
        chosen = [each for each in rules if rule_key(each) == self._rows.cursor]
        self._about.draw_lines([line for each in chosen for line in self._lines(each)])

    def _lines(self, shown: RuleShape) -> Iterator[Line]:
        width = self.size.width
        yield Line(f"{shown['direction']}, tier {shown['tier']}: {shown['text']}"[:width])
        told = f"{count(shown['entries'])} entries, {count(shown['packets'])} packets, {size(shown['bytes'])}"
        yield Line(f"{shown['policy'] or 'built in'}; {told}"[:width])


def _rule_cells(picture: Picture, shown: RuleShape) -> list[Cell | str]:
    hits = rate(picture.hits.of(rule_key(shown))), count(shown["packets"])
    verdict = Cell((shown["verdict"].upper(),), shown["verdict"] if shown["packets"] else "dim")
    by_hand = shown["policy"] == BY_HAND
    name = "by hand" if by_hand else shown["policy"].rpartition("/")[2] or "default"
    return [*hits, verdict, shown["direction"], name, "" if by_hand else place(shown["origin"])]


class LossesPanel(Panel):
    """What was lost, what was dropped and why, and the agent's state."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = Lines()

    @property
    def list(self) -> Lines:
        return self._lines

    def compose(self) -> ComposeResult:
        """Nothing but lines."""
        yield self._lines

    def draw(self, picture: Picture) -> None:
        """Tell the state."""
        status = picture.status
        lines = list(_state(picture, status)) if status else [Line("no answer yet")]
        self._lines.draw_lines([Line(line.text[: self.size.width], line.mark) for line in lines])


def _state(picture: Picture, status: Status) -> Iterator[Line]:
    losses, events, counters = status["events"]["losses"], status["events"], status["counters"]
    yield Line("EVENTS LOST, BY STAGE", "title")
    stages = (
        ("ring", "found the ring full, since the programs were loaded"),
        ("decode", "were of another layout"),
        ("subscriber", "found a reader's queue full"),
        ("store", "could not be recorded"),
    )
    for stage, why in stages:
        number = int(losses[stage])  # type: ignore[literal-required] # they are its fields
        yield Line(f"{stage:<11}{count(number):>12}  {why}", "warn" if number else "")
    yield Line(f"{'held back':<11}{count(events['held_back']):>12}  denials beyond their flow's limit, counted")
    yield Line(f"{'events':<11}{count(events['seen']):>12}  written in all")
    yield Line("")
    yield from _agent(status)
    yield Line("")
    speed = picture.packets
    allowed = f"{count(counters['allowed'])} allowed ({rate(speed.of('allowed'))}/s)"
    yield Line(f"PACKETS: {allowed}, {count(counters['denied'])} denied ({rate(speed.of('denied'))}/s)", "title")
    for drop in status["drops"]:
        yield Line(f"{count(drop['packets']):>12}  {drop['reason']}, {drop['direction']}, {size(drop['bytes'])}")
    if not status["drops"]:
        yield Line("nothing was dropped")


def _agent(status: Status) -> Iterator[Line]:
    recording, commit = status["recording"], status["last_commit"]
    yield Line(f"AGENT {status['instance']}, REVISION {status['revision']}", "title")
    held = f"{count(recording['flows'])} flows, {size(recording['bytes'])} in {recording['directory']}"
    told = f": {recording['reason']}" if recording["state"] != "recording" else f": {held}"
    yield Line(f"recording  {recording['state']}{told}", "warn" if recording["state"] == "stopped" else "")
    known = f"{status['endpoints']} endpoints, {status['policies']} policies, {status['identities']} identities"
    yield Line(f"{'known':<11}{known}; up {_duration(status['uptime_seconds'])}")
    if commit:
        sizes = f"{commit['entries']} entries, {commit['prefixes']} prefixes, {commit['rules']} rules"
        at = commit["time"].partition("T")[2][:12]
        yield Line(f"{'committed':<11}revision {commit['revision']}, {at}: {sizes} in {commit['milliseconds']:.1f} ms")
    for warning in status["warnings"]:
        yield Line(f"{'warning':<11}{warning}", "warn")


def _duration(seconds: float) -> str:
    minutes, hours = seconds // 60, seconds // 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:,.0f} h"


class ByHandPanel(ListPanel):
    """What is set by hand, here and before."""

    def __init__(self) -> None:
        super().__init__(Rows(_BY_HAND, "nothing is set by hand"), 2)

    def draw(self, picture: Picture) -> None:
        """List it, and tell one in full."""
        here = {HandKey.of(entry) for entry in picture.set_here}
        keyed = [(HandKey.of(each), each) for each in picture.by_hand]
        self._rows.draw_rows([Row(key, partial(_hand_cells, each, here=key in here)) for key, each in keyed])
        chosen = [each for each in picture.by_hand if HandKey.of(each) == self._rows.cursor]
        self._about.draw_lines([line for each in chosen for line in self._lines(each)])

    def _lines(self, shown: EntryShape) -> Iterator[Line]:
        yield Line(entry_text(shown)[: self.size.width])
        yield Line(f"tier {shown['tier']}, {count(shown['packets'])} packets, {size(shown['bytes'])}")


def _hand_cells(shown: EntryShape, *, here: bool) -> list[Cell | str]:
    subject = label_names(shown["subject_labels"]) or str(shown["subject"])
    peer = "anyone" if shown["peer_kind"] == "any" else label_names(shown["peer_labels"]) or str(shown["peer"])
    action = Cell((shown["action"],), shown["action"])
    counted = count(shown["packets"])
    when = "here" if here else "before"
    return [when, action, shown["direction"], subject, peer, shown["traffic"], counted]
