"""Terms for a flow as a whole: verdict, reason, type, kind, direction, protocol, flags, and the deciding rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from ringfence.abi import CtStatus, Direction, EventKind, Verdict
from ringfence.errors import BadInput
from ringfence.flow.columns import Batch, Mask, is_in
from ringfence.flow.decode import FLAGS
from ringfence.flow.hubble import MessageType, TracePoint
from ringfence.flow.hubble_columns import IS_TYPE, OTHER_TYPES, REASONS, VERDICTS, has_sub_type, is_reply, type_text
from ringfence.policy.repository import is_called
from ringfence.traffic import Protocol as IpProtocol

_L7_PROTOCOLS: Final = ("dns", "http", "kafka")
_MOST_PROTOCOL: Final = 255


class EventTerm(Protocol):
    """What a flow is asked for by."""

    def mask(self, batch: Batch) -> Mask:
        """Which rows this term means."""


@dataclass(frozen=True, slots=True)
class In:
    """A column holds one of some numbers; with none of them it is what never happens here."""

    column: str
    numbers: tuple[int, ...]

    def mask(self, batch: Batch) -> Mask:
        return is_in(batch[self.column], self.numbers) if self.numbers else batch.nowhere()


@dataclass(frozen=True, slots=True)
class OfType:
    """Events of a type of Hubble's, and of a sub-type. None is a type that there are no events of."""

    type: MessageType | None
    sub_type: int | None = None

    def mask(self, batch: Batch) -> Mask:
        if self.type is None:
            return batch.nowhere()
        mask = IS_TYPE[self.type](batch.events)
        return mask if self.sub_type is None else mask & has_sub_type(batch.events, self.type, self.sub_type)


@dataclass(frozen=True, slots=True)
class WithFlags:
    """TCP segments with all of these flags."""

    flags: int

    def mask(self, batch: Batch) -> Mask:
        found = (batch["tcp_flags"] & self.flags) == self.flags
        return np.asarray(found & (batch["protocol"] == IpProtocol.TCP))


@dataclass(frozen=True, slots=True)
class Reply:
    """Packets of the side that answers, or of the side that opened."""

    wanted: bool

    def mask(self, batch: Batch) -> Mask:
        return is_reply(batch.events, wanted=self.wanted)


@dataclass(frozen=True, slots=True)
class DecidedBy:
    """Flows that a rule denied, or one of the rules that allowed: by its policy, or by where it stands too."""

    name: str
    places: bool = True

    def mask(self, batch: Batch) -> Mask:
        egress, ingress = (batch.where(f"{side}_rule", lambda rule: self._means(batch, rule)) for side in _SIDES)
        denied, at_egress = batch["verdict"] == Verdict.DENY, batch["direction"] == Direction.EGRESS
        return np.asarray((egress & (~denied | at_egress)) | (ingress & (~denied | ~at_egress)))

    def _means(self, batch: Batch, number: int) -> bool:
        rule = batch.names.rule_of(number) if number else None
        if rule is None:
            return False
        if rule.policy and is_called(rule.policy, self.name):
            return True
        file, _, _ = rule.origin.rpartition(":")
        return self.places and self.name in (rule.origin, file) and bool(self.name)


@dataclass(frozen=True, slots=True)
class ByService:
    """Flows by the address of a service, [namespace/]name; `reply`: only those that answer, or only those that ask."""

    name: str
    reply: bool | None = None

    def mask(self, batch: Batch) -> Mask:
        found = batch.where("service", lambda row: bool(row) and self._means(batch.names.service_of(row)))
        return found if self.reply is None else found & ((batch["status"] == CtStatus.REPLY) == self.reply)

    def _means(self, path: str | None) -> bool:
        return path is not None and self.name in (path, path.rpartition("/")[2])


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
    for reason, name in REASONS.items():
        if asked in (name, reason.name, str(int(reason))):
            return reason
    raise _no_such("drop reason", value, REASONS.values())


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
    types = {type_text(each): each for each in MessageType}
    wanted = str(name).lower()
    found = next((each for text, each in types.items() if wanted in (text, str(int(each)))), None)
    others = {*OTHER_TYPES, *map(str, OTHER_TYPES.values())}
    if found is None and wanted not in others:
        raise _no_such("event type", name, types)
    return OfType(found, _sub_type(found, sub_type) if found and sub_type is not None else None)


def _sub_type(kind: MessageType, value: object) -> int:
    if kind is MessageType.DROP:
        return _reason_number(value)
    points = {each.name.lower().replace("_", "-"): int(each) for each in TracePoint}
    text = str(value).lower()
    if text not in points and not text.isdecimal():
        raise _no_such(f"sub-type of {type_text(kind)}", value, (*points, "or a number"))
    return points[text] if text in points else int(text)


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
    "service": lambda value: ByService(str(value)),
    "source_service": lambda value: ByService(str(value), reply=True),
    "destination_service": lambda value: ByService(str(value), reply=False),
    "uuid": _refused("flows are not found by their uuid"),
}
