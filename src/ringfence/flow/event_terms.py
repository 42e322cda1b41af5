"""Terms for a flow as a whole: verdict, reason, type, kind, direction, protocol, flags, and the deciding rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from ringfence.abi import CtStatus, Direction, EventKind, Verdict
from ringfence.errors import BadInput
from ringfence.flow.columns import Mask, is_in, nowhere, where
from ringfence.flow.decode import FLAGS, Events
from ringfence.flow.enrich import Names
from ringfence.flow.hubble_words import DROP_REASONS, OTHER_TYPES, VERDICTS, EventType, is_type
from ringfence.policy.repository import is_called
from ringfence.traffic import Protocol as IpProtocol
from ringfence.verdict import RuleText

_L7_PROTOCOLS: Final = ("dns", "http", "kafka")
_MOST_PROTOCOL: Final = 255


class EventTerm(Protocol):
    """What a flow is asked for by."""

    def mask(self, events: Events, names: Names) -> Mask:
        """Which rows this term means."""


@dataclass(frozen=True, slots=True)
class In:
    """A column holds one of some numbers; with none of them it is what never happens here."""

    column: str
    numbers: tuple[int, ...]

    def mask(self, events: Events, names: Names) -> Mask:  # noqa: ARG002 - numbers need no names
        return is_in(events[self.column], self.numbers) if self.numbers else nowhere(len(events))


@dataclass(frozen=True, slots=True)
class OfType:
    """Events of a type, of a drop with a reason too. None is a type that there are no events of."""

    type: EventType | None
    reason: int | None = None

    def mask(self, events: Events, names: Names) -> Mask:  # noqa: ARG002 - numbers need no names
        if self.type is None:
            return nowhere(len(events))
        mask = is_type(events, self.type)
        return mask if self.reason is None else np.asarray(mask & (events["reason"] == self.reason))


@dataclass(frozen=True, slots=True)
class WithFlags:
    """TCP segments with all of these flags."""

    flags: int

    def mask(self, events: Events, names: Names) -> Mask:  # noqa: ARG002 - numbers need no names
        found = (events["tcp_flags"] & self.flags) == self.flags
        return np.asarray(found & (events["protocol"] == IpProtocol.TCP))


@dataclass(frozen=True, slots=True)
class Reply:
    """Packets of the answering side, or of the other."""

    wanted: bool

    def mask(self, events: Events, names: Names) -> Mask:  # noqa: ARG002 - numbers need no names
        return np.asarray((events["status"] == CtStatus.REPLY) == self.wanted)


@dataclass(frozen=True, slots=True)
class DecidedBy:
    """Flows that a rule denied, or one of the rules that allowed: by its policy, or by where it stands too."""

    name: str
    places: bool = True

    def mask(self, events: Events, names: Names) -> Mask:
        egress, ingress = (where(events[f"{side}_rule"], lambda n: self._means(names.rule_of(n))) for side in _SIDES)
        denied, at_egress = events["verdict"] == Verdict.DENY, events["direction"] == Direction.EGRESS
        return np.asarray((egress & (~denied | at_egress)) | (ingress & (~denied | ~at_egress)))

    def _means(self, rule: RuleText | None) -> bool:
        if rule is None:
            return False
        if rule.policy and is_called(rule.policy, self.name):
            return True
        file, _, _ = rule.origin.rpartition(":")
        return self.places and self.name in (rule.origin, file) and bool(self.name)


_SIDES: Final = ("egress", "ingress")
Parse = Callable[[Any], EventTerm]


def _named(field: str, column: str, words: Mapping[str, Iterable[int]]) -> Parse:
    """A field whose values are words, whatever their case."""

    def parse(value: object) -> EventTerm:
        numbers = words.get(str(value).strip().lower())
        if numbers is None:
            raise _no_such(field, value, words)
        return In(column, tuple(numbers))

    return parse


def _no_such(field: str, value: object, words: Iterable[str]) -> BadInput:
    return BadInput(f"no {field} {value!r}; there are: {', '.join(words)}")


def _verdict(value: object) -> EventTerm:
    names = list(VERDICTS)
    name = names[value] if isinstance(value, int) and 0 <= value < len(names) else str(value).upper()
    if name not in VERDICTS:
        raise _no_such("verdict", value, names[1:])
    found = VERDICTS[name]
    return In("verdict", () if found is None else (found,))


def _reason_number(value: object) -> int:
    asked = str(value).strip().upper().replace(" ", "_").replace("-", "_")
    for reason, name in DROP_REASONS.items():
        if asked in (name, reason.name, str(int(reason))):
            return reason
    raise _no_such("drop reason", value, DROP_REASONS.values())


def _drop_reason(value: object) -> EventTerm:
    return In("reason", (_reason_number(value),))


def _event_type(value: object) -> EventTerm:
    """Read `drop`, `drop:POLICY_DENIED`, `5`, or Hubble's object with type, match_sub_type and sub_type."""
    if isinstance(value, Mapping):
        unknown = [str(name) for name in value if name not in {"type", "match_sub_type", "sub_type"}]
        if unknown:
            raise _no_such("field of an event type", unknown[0], ("type", "match_sub_type", "sub_type"))
        sub_type = value.get("sub_type", 0) if value.get("match_sub_type") else None
        return _of_type(value.get("type", 0), sub_type)
    name, colon, sub_type = str(value).partition(":")
    return _of_type(name, sub_type if colon else None)


def _of_type(name: object, sub_type: object) -> EventTerm:
    types = {each.text: each for each in EventType}
    wanted = str(name).lower()
    found = next((each for text, each in types.items() if wanted in (text, str(int(each)))), None)
    others = {*OTHER_TYPES, *map(str, OTHER_TYPES.values())}
    if found is None and wanted not in others:
        raise _no_such("event type", name, types)
    if sub_type is None:
        return OfType(found)
    # A drop's is its reason; of the others Hubble's observation points have no counterpart here.
    return OfType(found, _reason_number(sub_type)) if found is EventType.DROP else OfType(None)


def _tcp_flags(value: object) -> EventTerm:
    """Read `SYN,ACK`, or Hubble's object of flags."""
    if isinstance(value, Mapping):
        wanted = [str(name) for name, is_set in value.items() if is_set]
    else:
        wanted = str(value).split(",")
    flags = 0
    for name in wanted:
        if name.strip().upper() not in FLAGS:
            raise _no_such("TCP flag", name, FLAGS)
        flags |= 1 << FLAGS.index(name.strip().upper())
    return WithFlags(flags)


def _reply(value: object) -> EventTerm:
    words = {"true": True, "false": False}
    if str(value).lower() not in words:
        raise _no_such("value of reply", value, words)
    return Reply(words[str(value).lower()])


def _protocol(value: object) -> EventTerm:
    text = str(value).strip().lower()
    words: dict[str, tuple[int, ...]] = {each.name.lower(): (each,) for each in IpProtocol}
    words |= {"icmpv4": (IpProtocol.ICMP,), "icmp": (IpProtocol.ICMP, IpProtocol.ICMPV6)}
    words |= dict.fromkeys(_L7_PROTOCOLS, ())  # of layer 7, which nothing here looks at
    if text.isdecimal() and int(text) <= _MOST_PROTOCOL:
        return In("protocol", (int(text),))
    if text not in words:
        raise _no_such("protocol", value, (*words, "or a number"))
    return In("protocol", words[text])


def _refused(why: str) -> Parse:
    def parse(value: object) -> EventTerm:
        raise BadInput(f"{why}: {value!r} cannot be asked for")

    return parse


#: Fields for the flow as a whole, each with how one of its values is read.
EVENT_TERMS: Final[dict[str, Parse]] = {
    "verdict": _verdict,
    "drop_reason_desc": _drop_reason,
    "event_type": _event_type,
    "kind": _named("kind", "kind", {each.name.lower(): (each,) for each in EventKind}),
    "traffic_direction": _named(
        "traffic direction",
        "direction",
        {each.name.lower(): (each,) for each in Direction} | {"traffic_direction_unknown": ()},
    ),
    "protocol": _protocol,
    "ip_version": _named(
        "IP version", "family", {"ipv4": (4,), "ipv6": (6,)} | {"v4": (4,), "v6": (6,), "4": (4,), "6": (6,)}
    ),
    "tcp_flags": _tcp_flags,
    "reply": _reply,
    "rule": lambda value: DecidedBy(str(value)),
    "policy": lambda value: DecidedBy(str(value), places=False),
    "type": _named("event type", "verdict", {"allow": (Verdict.ALLOW,), "drop": (Verdict.DENY,)}),
    "uuid": _refused("flows have no uuid here"),
}
