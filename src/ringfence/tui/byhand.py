"""Entries by hand: which ones allow or deny a flow, which were set here, and how to take them back.

They stand in the tier Admin, at the most exact key there is for the flow's traffic. That tier is asked before all
others, so no rule of a lower one is asked at all; within it an entry by hand weighs as much as the first rule of all
(`engine/manual.py`), and of equal weight the more exact key wins (`bpf/policy.h`). So the entry decides, whatever
policies say, and for this flow's two identities and port alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ringfence.abi import Reason
from ringfence.errors import RingfenceError
from ringfence.traffic import parse_pattern
from ringfence.verdict import reason_text

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import FlowShape
    from ringfence.api.shapes import EntryKey, EntryRequest, EntryShape

Action = Literal["allow", "deny"]
Direction = Literal["ingress", "egress"]
_TIER: Final = "admin"
#: What a rule decided; of all other drops the packet itself is the cause, which no entry can mend.
_BY_RULES: Final = tuple(map(reason_text, (Reason.FORWARDED, Reason.POLICY_DENIED, Reason.POLICY_DENY_RULE)))
_WHOLE_PREFIX: Final = 24
_PROTOCOL_PREFIX: Final = 8


class HandKey(NamedTuple):
    """Where an entry by hand stands: the fields of an `EntryKey`, all of them."""

    direction: Direction
    subject: int
    peer_kind: Literal["identity", "prefix_class", "any"]
    peer: int
    protocol: int
    port: int
    prefix: int
    tier: Literal["admin", "normal", "baseline"]

    @classmethod
    def of(cls, entry: EntryShape) -> HandKey:
        """The key of an entry that the agent listed."""
        names = {name: entry[name] for name in cls._fields}  # type: ignore[literal-required] # they are its fields
        return cls(**names)

    def request(self) -> EntryKey:
        """As the API takes it."""
        return {
            "direction": self.direction,
            "subject": self.subject,
            "peer": self.peer,
            "peer_kind": self.peer_kind,
            "protocol": self.protocol,
            "port": self.port if self.protocol else None,
            "prefix": self.prefix,
            "tier": self.tier,
        }


Standing = Mapping[HandKey, Action]


def standing(entries: Iterable[EntryShape]) -> dict[HandKey, Action]:
    """What is set by hand, by its key."""
    return {HandKey.of(entry): "deny" if entry["action"] == "deny" else "allow" for entry in entries}


def entries_for(flow: FlowShape, action: Action, now: Standing) -> dict[HandKey, Action]:
    """The entries that give a flow a verdict, as it was opened. RingfenceError where no entry can.

    A deny needs one direction: ingress where the destination is of this host, else egress. An allow needs every
    direction that denies: where egress did, ingress was not asked and may deny as well, so both; and any direction
    in which the flow is denied by hand just now, of which its newest verdict may not know yet.
    """
    if flow["reason"] not in _BY_RULES:
        raise RingfenceError(f"no rule decides this flow: {flow['reason']}")
    judged = _directions(flow)
    if not judged:
        raise RingfenceError("no rule decides this flow: neither end is an endpoint of this host")
    wanted = {judged[-1]}
    if action == "allow":
        wanted |= {direction for direction in judged if now.get(_key(flow, direction)) == "deny"}
        if flow["verdict"] == "deny":
            wanted |= set(judged) if flow["direction"] == "egress" else {"ingress"}
    return {_key(flow, direction): action for direction in judged if direction in wanted}


def _directions(flow: FlowShape) -> list[Direction]:
    """Those in which a flow is judged here, egress first, as the datapath does."""
    egress = flow["source"]["endpoint"] is not None or flow["rules"]["egress"] is not None
    ingress = flow["destination"]["endpoint"] is not None or flow["rules"]["ingress"] is not None
    found: list[tuple[Direction, bool]] = [("egress", egress), ("ingress", ingress)]
    return [direction for direction, judged in found if judged]


def _key(flow: FlowShape, direction: Direction) -> HandKey:
    source, destination = flow["source"]["identity"], flow["destination"]["identity"]
    subject, peer = (destination, source) if direction == "ingress" else (source, destination)
    return HandKey(direction, subject, "identity", peer, *_traffic(flow), _TIER)


def _traffic(flow: FlowShape) -> tuple[int, int, int]:
    """Protocol, port and prefix of the most exact key that the flow's packets meet."""
    if flow["protocol"].isdigit():
        return int(flow["protocol"]), 0, _PROTOCOL_PREFIX  # it has no ports
    pattern = parse_pattern(flow["port"])
    return int(pattern.protocol), pattern.port or 0, _WHOLE_PREFIX


class Ledger:
    """What was set by hand here, and what stood in its place before."""

    def __init__(self) -> None:
        self._before: dict[HandKey, Action | None] = {}
        self._mine: dict[HandKey, Action] = {}

    @property
    def mine(self) -> Standing:
        """What was set here and not taken back."""
        return self._mine

    def note(self, entries: Standing, before: Standing) -> None:
        """Take in what was set; `before` is what had been set by hand until then."""
        for key, action in entries.items():
            self._before.setdefault(key, before.get(key))
            self._mine[key] = action

    def forget(self) -> None:
        """All of it was taken back."""
        self._before.clear()
        self._mine.clear()

    def undoing(self, now: Standing) -> tuple[list[EntryRequest], list[EntryKey]]:
        """What to set and what to delete so that it is as before; what somebody has changed since is left alone."""
        set_: list[EntryRequest] = []
        delete: list[EntryKey] = []
        for key, action in self._mine.items():
            before = self._before[key]
            if now.get(key) != action or before == action:
                continue
            if before is None:
                delete.append(key.request())
            else:
                set_.append({**key.request(), "action": before})
        return set_, delete
