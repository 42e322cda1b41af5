"""Changes by hand that the keys mean: one flow allowed or denied, and what was set taken back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ringfence.tui.byhand import Action, HandKey, Standing, entries_for
from ringfence.tui.flip import Change, Planned, Watched
from ringfence.tui.flowlist import key_of
from ringfence.tui.picture import Picture
from ringfence.tui.wording import end_name

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import FlowShape

_DONE: Final = {"allow": "allowed", "deny": "denied"}


def flipping(flow: FlowShape, action: Action) -> Change:
    """Allow or deny a flow, given as it was opened."""

    def plan(now: Standing) -> Planned:
        entries = entries_for(flow, action, now)
        return Planned(entries, set=[{**key.request(), "action": wanted} for key, wanted in entries.items()])

    source, destination = flow["source"], flow["destination"]
    ends = f"{end_name(source)} -> {end_name(destination)} {flow['port']}"
    port = None if flow["protocol"].isdigit() else flow["port"]
    watched = Watched((str(source["identity"]),), (str(destination["identity"]),), port)
    return Change(f"{_DONE[action]} by hand: {ends}", watched, plan, key_of(flow))


def undoing(picture: Picture) -> Change:
    """Take back all that was set here: what stood in its place before is there again."""
    keys = list(picture.ledger.mine)

    def plan(now: Standing) -> Planned:
        set_, delete = picture.ledger.undoing(now)
        return Planned({}, set_, delete)

    return Change(f"taken back: {_entries(len(keys))} set here", watched_of(keys), plan)


def clearing_all(picture: Picture) -> Change:
    """Delete whatever is set by hand, by whomever."""
    keys = [HandKey.of(entry) for entry in picture.by_hand]

    def plan(now: Standing) -> Planned:
        return Planned({}, delete=[key.request() for key in keys if key in now])

    return Change(f"cleared: {_entries(len(keys))} set by hand before", watched_of(keys), plan)


def watched_of(keys: Iterable[HandKey]) -> Watched:
    """Whose packets the entries decide; of everybody's, where one speaks of more than one peer."""
    known = list(keys)
    if any(key.peer_kind != "identity" for key in known):
        return Watched()
    sources = {key.peer if key.direction == "ingress" else key.subject for key in known}
    destinations = {key.subject if key.direction == "ingress" else key.peer for key in known}
    return Watched(tuple(map(str, sorted(sources))), tuple(map(str, sorted(destinations))))


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"
